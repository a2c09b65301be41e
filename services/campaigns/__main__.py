"""`python -m services.campaigns` runs the service."""

from services.campaigns.app import service
from shared.service import run

if __name__ == "__main__":
    run(service)
