"""`python -m services.points` runs the service."""

from services.points.app import service
from shared.service import run

if __name__ == "__main__":
    run(service)
