"""`python -m services.messaging` runs the service."""

from services.messaging.app import service
from shared.service import run

if __name__ == "__main__":
    run(service)
