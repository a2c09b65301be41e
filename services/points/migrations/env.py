"""Alembic's entry point for the points database."""

from services.points.models import Base
from shared.migrations import run_environment

run_environment(Base.metadata)
