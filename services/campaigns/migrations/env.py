"""Runs the migrations of campaigns."""

from services.campaigns.models import Base
from shared.migrations import run_environment

run_environment(Base.metadata)
