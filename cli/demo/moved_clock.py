"""A month later: the ledger's clock is moved, and what expires meanwhile expires.

Every deadline of points is judged by the `clock_timestamp()` of its database. A function of that name in a
schema that is searched before PostgreSQL's own moves the clock of that one database; no table is touched, and
the service is the one that runs everywhere. The other services are stopped before: by their clocks nothing
can have happened next month, and they would rightly put aside whatever says so.
"""

import asyncio
from datetime import timedelta

import asyncpg

from cli.platform import SERVICES
from cli.platform.platform import Platform

__all__ = ["LATER", "move_clock", "shadow_clock"]

LATER = timedelta(days=30)


def move_clock(platform: Platform, by: timedelta = LATER) -> None:
    """Let the points service live that much later from now on, alone."""
    for service in SERVICES:
        platform.stop_service(service)
    asyncio.run(shadow_clock(platform.database_url("points"), by))
    platform.start_service("points")


async def shadow_clock(url: str, by: timedelta) -> None:
    """Let one database live that much later, in all connections that are made from now on."""
    connection = await asyncpg.connect(url)
    try:
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(
            f"""
            CREATE SCHEMA moved_clock;
            CREATE FUNCTION moved_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
            RETURN pg_catalog.clock_timestamp() + make_interval(secs => {by.total_seconds():.0f});
            ALTER ROLE CURRENT_USER IN DATABASE {database} SET search_path = moved_clock, pg_catalog, public;
            """
        )
    finally:
        await connection.close()
