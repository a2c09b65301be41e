"""Database migrations: one alembic history per service, applied under an advisory lock.

Each service's `migrations/env.py` is one call of `run_environment`. Migrations expand, fill and contract, so
that every step works with the release before it.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text

from shared.database import Database

__all__ = [
    "at_head",
    "differences",
    "heads",
    "run_environment",
    "upgrade",
]

# A migration that cannot get its lock in this time gives up instead of queueing every request behind it.
LOCK_TIMEOUT = "5s"


def _config(service: str) -> Config:
    config = Config()
    folder = Path(str(resources.files(f"services.{service}"))) / "migrations"
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return config


def heads(service: str) -> tuple[str, ...]:
    """Return the newest revisions that this release of the service knows."""
    return tuple(ScriptDirectory.from_config(_config(service)).get_heads())


async def upgrade(service: str, database: Database, revision: str = "head") -> None:
    """Bring a service's database up to `revision`. Safe to call from several processes at once."""

    def run(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('regulars-migrate', 0))"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        config = _config(service)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    async with database.engine.begin() as connection:
        await connection.run_sync(run)


async def at_head(service_heads: Sequence[str], database: Database) -> bool:
    """Say whether the database is at the revision this release needs."""
    # Asked by every readiness probe, so by one plain statement instead of alembic's machinery.
    async with database.engine.connect() as connection:
        if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            return False
        current = await connection.scalars(text("SELECT version_num FROM alembic_version"))
        return set(current) == set(service_heads)


async def differences(metadata: MetaData, database: Database) -> list[Any]:
    """Return what separates the migrated database from the models; empty when they agree."""

    def compare(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.engine.connect() as connection:
        return await connection.run_sync(compare)


def run_environment(metadata: MetaData) -> None:
    """Be the body of a service's `env.py`: migrate on the connection that `upgrade` hands over."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()
