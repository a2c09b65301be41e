"""Reaching the databases and the bus of a platform, whether it runs or not."""

import fcntl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import typer

from cli.platform import SERVICES, Home, NothingStarted
from shared.bus import Bus, connect
from shared.database import Database, is_outage

__all__ = ["bus_of", "databases_of", "reachable_servers", "service_named"]


def service_named(name: str) -> str:
    """The name, if it is one of the five. Raises typer.BadParameter."""
    if name not in SERVICES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(SERVICES)}")
    return name


@contextmanager
def reachable_servers(home: Home) -> Iterator[None]:
    """The platform's PostgreSQL answers inside: if the platform does not run, it is started meanwhile.

    Raises NothingStarted if a database is away all the same.
    """
    with _own_server(home):
        try:
            yield
        except Exception as error:
            if not is_outage(error):
                raise
            raise NothingStarted(
                f"A database does not answer ({error}): is PostgreSQL running? `regulars up` starts the"
                " platform's own; of another, look at the database URLs."
            ) from error


@contextmanager
def _own_server(home: Home) -> Iterator[None]:
    """Start the embedded server, if there is one and nobody has."""
    state = home.state()
    if state is None or not state.embedded_postgres:
        yield
        return
    with home.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # The platform runs and holds the lock.
            yield
            return
        # Only where the embedded server was started before is it installed: containers do without.
        from cli.embedded.postgres import EmbeddedPostgres

        server = EmbeddedPostgres(home.postgres).start()
        try:
            yield
        finally:
            server.stop()


@asynccontextmanager
async def databases_of(home: Home, services: Iterable[str]) -> AsyncIterator[dict[str, Database]]:
    """The databases of these services. Raises NothingStarted if their addresses are not known."""
    opened: dict[str, Database] = {}
    try:
        for service in services:
            url = home.database_url(service)
            if url is None:
                raise NothingStarted(
                    f"The database of {service} is not known: nothing was started under {home} yet. Run"
                    f" `regulars up`, name another --home, or set REGULARS_{service.upper()}_DATABASE_URL."
                )
            opened[service] = Database(url, pool_size=2)
        yield opened
    finally:
        for database in opened.values():
            await database.close()


@asynccontextmanager
async def bus_of(home: Home) -> AsyncIterator[Bus]:
    """The bus of the platform under a home. Raises NothingStarted."""
    state = home.state()
    if state is None:
        raise NothingStarted(
            f"Nothing was started under {home} yet. Run `regulars up` or name another --home."
        )
    bus = connect(
        state.bus,
        database_url=home.database_url("bus"),
        bootstrap=state.kafka_bootstrap,
        client_id="regulars-cli",
    )
    await bus.start()
    try:
        yield bus
    finally:
        await bus.close()
