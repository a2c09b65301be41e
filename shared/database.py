"""The service's own PostgreSQL: engine, transactions, and what counts as an outage.

The edge (HTTP route, consumer loop, job runner) opens a transaction and so commits it; operations and
repositories only ever receive the session.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy import MetaData, event, text
from sqlalchemy import exc as sa_exc
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from shared import metrics
from shared.statements import StatementSession

__all__ = ["Database", "is_outage", "is_transient", "new_metadata", "savepoint", "will_pass"]

NAMING_CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLSTATE classes after which the same statement may well succeed on another try: the server went away,
# is starting or stopping, ran out of something, or had to sacrifice this transaction for another one.
OUTAGE_SQLSTATE_CLASSES = ("08", "53", "57P", "58")
TRANSIENT_SQLSTATES = ("40001", "40P01", "55P03", "57014")


SQLSTATE_KINDS = {
    "40001": "serialization",
    "40P01": "deadlock",
    "55P03": "timeout",
    "57014": "timeout",
    "23": "integrity",
}


class Database:
    """One service's connection pool and its only way to begin a transaction.

    `url` is a libpq-style address (`postgresql://…`); `pool_size` is a number of connections, the hard
    upper bound for this process; `pool_timeout_seconds` bounds the wait for a free one, the other times
    bound connecting, one statement and one wait for a lock.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        pool_timeout_seconds: float = 10.0,
        connect_timeout_seconds: float = 10.0,
        statement_timeout_seconds: float = 120.0,
        lock_timeout_seconds: float = 30.0,
    ) -> None:
        self.url = url
        self._connect_timeout_seconds = connect_timeout_seconds
        server_settings = {
            "timezone": "UTC",
            "jit": "off",
            "statement_timeout": f"{round(statement_timeout_seconds * 1000)}ms",
            "lock_timeout": f"{round(lock_timeout_seconds * 1000)}ms",
        }
        self.engine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            pool_size=pool_size,
            max_overflow=0,
            # The backend that served last has its plans and the hot pages at hand.
            pool_use_lifo=True,
            # The parameters of a failed statement would carry personal data into logs and dead letters.
            hide_parameters=True,
            pool_timeout=pool_timeout_seconds,
            connect_args={
                "async_creator_fn": _connect,
                "server_settings": server_settings,
                "timeout": connect_timeout_seconds,
                # The server ends a statement itself; this is for a server that no longer answers at all.
                "command_timeout": statement_timeout_seconds + 10,
            },
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        self._sessions = async_sessionmaker(
            self.engine.execution_options(isolation_level="AUTOCOMMIT"),
            class_=StatementSession,
            expire_on_commit=False,
            autoflush=False,
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StatementSession]:
        """Yield a session whose work is committed on a clean exit and rolled back on an exception."""
        with _measured("write"):
            async with self._sessions() as session, session.transaction():
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for reading only: PostgreSQL refuses a write in it."""
        with _measured("read"):
            async with self._sessions() as session, session.transaction("BEGIN READ ONLY"):
                yield session

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[AsyncSession]:
        """Yield a session for reading by one statement: none begins or ends a transaction.

        That saves two of three round trips. Nothing refuses a write, so it is for hot reads only.
        """
        with _measured("read"):
            async with self._sessions() as session:
                yield session

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[asyncpg.Connection]:
        """Yield a connection outside the pool, for session-level locks and `LISTEN`."""
        url = make_url(self.url).set(drivername="postgresql")
        connection = await _connect(
            url.render_as_string(hide_password=False),
            timeout=self._connect_timeout_seconds,
            command_timeout=120,
            server_settings={"timezone": "UTC", "jit": "off"},
        )
        try:
            yield connection
        finally:
            # A server that is gone never says goodbye, so the wait for it has an end.
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=1.0)

    async def ping(self) -> bool:
        """Say whether the database answers a query."""
        try:
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception as error:
            if is_outage(error):
                return False
            raise
        return True

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


async def _connect(*arguments: Any, **options: Any) -> asyncpg.Connection:
    """Connect as asyncpg does; whoever is cut off meanwhile waits for the attempt to end.

    Cut off at the wrong moment, asyncpg leaves a failure behind that nobody reads, and that is logged at some
    later time as if something were wrong. The attempt has a timeout of its own.
    """
    attempt = asyncio.create_task(asyncpg.connect(*arguments, **options))
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await asyncio.wait([attempt])
        if not attempt.cancelled() and attempt.exception() is None:
            attempt.result().terminate()
        raise


def _refuse_closed(connection: Any, record: object, proxy: object) -> None:
    """Have the pool replace a connection that was lost while nobody used it."""
    if connection.driver_connection.is_closed():
        raise sa_exc.DisconnectionError


def savepoint(session: AsyncSession) -> AbstractAsyncContextManager[None]:
    """Take back what is done inside, and only that, if it ends in an exception."""
    assert isinstance(session, StatementSession)
    return session.savepoint()


def new_metadata() -> MetaData:
    """Return metadata whose constraints are all named, so that migrations can speak of them."""
    return MetaData(naming_convention=NAMING_CONVENTION)


@contextmanager
def _measured(kind: str) -> Iterator[None]:
    """Time a transaction, and count its failure if the database had a part in it."""
    started = time.perf_counter()
    try:
        yield
    except Exception as error:
        failure = error_kind(error)
        if failure is not None:
            metrics.DATABASE_ERRORS.labels(failure).inc()
        raise
    finally:
        metrics.DATABASE_TRANSACTION.labels(kind).observe(time.perf_counter() - started)


def error_kind(error: BaseException) -> str | None:
    """Name the kind of a database error as the metrics do, or None if it is not one."""
    if is_outage(error):
        return "outage"
    for cause in _causes(error):
        state = str(getattr(cause, "sqlstate", None) or "")
        if state:
            return SQLSTATE_KINDS.get(state) or SQLSTATE_KINDS.get(state[:2], "other")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, what the driver wrapper holds inside it, and its causes."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [getattr(current, "orig", None), current.__cause__]
        if isinstance(current, BaseExceptionGroup):
            pending += current.exceptions


def is_outage(error: BaseException) -> bool:
    """Say whether the error means "the database or bus is away", not "this work is wrong".

    An outage is never a bad message: whoever meets one backs off and tries the same work again.
    """
    for cause in _causes(error):
        if isinstance(cause, OSError | TimeoutError | sa_exc.TimeoutError):
            return True
        # The driver's interface errors speak of the connection, except those about a bad argument.
        if isinstance(cause, asyncpg.InterfaceError) and not isinstance(cause, ValueError):
            return True
        if isinstance(cause, sa_exc.DBAPIError) and cause.connection_invalidated:
            return True
        if str(getattr(cause, "sqlstate", None) or "").startswith(OUTAGE_SQLSTATE_CLASSES):
            return True
    return False


def is_transient(error: BaseException) -> bool:
    """Say whether PostgreSQL sacrificed this transaction: a deadlock, a serialisation failure, a timeout."""
    return any(getattr(cause, "sqlstate", None) in TRANSIENT_SQLSTATES for cause in _causes(error))


def will_pass(error: BaseException) -> bool:
    """Say whether the same work may well succeed on another try: an outage, or a sacrifice."""
    return is_outage(error) or is_transient(error)
