"""`python -m services.analytics` runs the service."""

from services.analytics.app import service
from shared.service import run

if __name__ == "__main__":
    run(service)
