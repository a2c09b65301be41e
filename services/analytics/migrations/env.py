"""Alembic's entry point; what it does is the same for all services."""

from services.analytics.models import Base
from shared.migrations import run_environment

run_environment(Base.metadata)
