"""Alembic's entry point for the messaging database."""

from services.messaging.models import Base
from shared.migrations import run_environment

run_environment(Base.metadata)
