"""Which errors of asyncpg mean that PostgreSQL is away, rather than that we asked for something wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.bus import BusUnavailable

__all__ = ["Connection", "outages"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_AWAY = (
    OSError,
    TimeoutError,
    # The connection broke, could not be made, or was closed under us.
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    # Shut down, starting up, or an operator ended us.
    asyncpg.OperatorInterventionError,
    # Out of connections, memory or disk.
    asyncpg.InsufficientResourcesError,
    # A deadlock or a serialisation failure: nothing happened, and once more is right.
    asyncpg.TransactionRollbackError,
)


@contextmanager
def outages() -> Iterator[None]:
    """Raise BusUnavailable for what a later attempt can cure; everything else passes."""
    try:
        yield
    except asyncpg.DataError:
        # A subclass of InterfaceError, yet about a value of ours.
        raise
    except _AWAY as problem:
        raise BusUnavailable(f"PostgreSQL: {type(problem).__name__}: {problem}") from problem
