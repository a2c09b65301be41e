"""`python -m services.members` runs the service."""

from services.members.app import service
from shared.service import run

if __name__ == "__main__":
    run(service)
