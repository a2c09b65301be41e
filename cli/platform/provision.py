"""Databases and roles: one pair per service, on the embedded server or on one that runs already."""

import asyncio
import secrets
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import asyncpg
from sqlalchemy.engine import URL, make_url

from cli.platform.home import SERVICES, Home
from shared import migrations
from shared.database import Database

__all__ = ["databases_behind", "in_own_loop", "migrate", "provision"]

T = TypeVar("T")


def in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from synchronous code, even if this thread has a running loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def provision(administrator_url: str, home: Home, *, prefix: str) -> None:
    """Make a database and an owner for each service and for the bus, and keep their URLs in the home.

    `prefix` goes before every name, so that a server shared with others is left tidy. The URL's role must be
    allowed to create roles and databases.
    """
    connection = await asyncpg.connect(administrator_url, timeout=30)
    try:
        roles = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        databases = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        superuser = await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        for name in (*SERVICES, "bus"):
            wanted = f"{prefix}{name}"
            secret = f"{name}_database_url"
            password = _kept_password(home.secret(secret), wanted)
            if wanted not in roles or password is None:
                password = password or secrets.token_urlsafe(24)
                verb = "ALTER" if wanted in roles else "CREATE"
                await connection.execute(f"{verb} ROLE \"{wanted}\" LOGIN PASSWORD '{password}'")
            if wanted not in databases:
                if not superuser:
                    # Only a member of a role may make it the owner of something.
                    await connection.execute(f'GRANT "{wanted}" TO CURRENT_USER')
                await connection.execute(f'CREATE DATABASE "{wanted}" OWNER "{wanted}"')
                # Every role may connect to every database by default; services keep to their own.
                await connection.execute(f'REVOKE ALL ON DATABASE "{wanted}" FROM PUBLIC')
            home.keep_secret(secret, _url(administrator_url, wanted, password))
    finally:
        await connection.close()


def _url(administrator_url: str, name: str, password: str) -> str:
    """The same server and options, with another role and database."""
    url = make_url(administrator_url).set(
        drivername="postgresql", username=name, password=password, database=name
    )
    return url.render_as_string(hide_password=False)


def _kept_password(kept: str | None, role: str) -> str | None:
    url: URL | None = make_url(kept) if kept else None
    # A home that moved from the embedded server to another one has a URL for a role of another name.
    return str(url.password) if url is not None and url.username == role and url.password else None


async def migrate(urls: dict[str, str]) -> None:
    """Bring the database of every named service up to this release."""
    for service, url in urls.items():
        database = Database(url, pool_size=1)
        try:
            if not await migrations.at_head(migrations.heads(service), database):
                await migrations.upgrade(service, database)
        finally:
            await database.close()


async def databases_behind(urls: dict[str, str]) -> list[str]:
    """The services whose database is not at this release's newest migration."""
    behind = []
    for service, url in urls.items():
        database = Database(url, pool_size=1)
        try:
            if not await migrations.at_head(migrations.heads(service), database):
                behind.append(service)
        finally:
            await database.close()
    return behind
