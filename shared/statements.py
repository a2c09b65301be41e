"""Sessions that hand statements they know straight to the driver.

SQLAlchemy takes three times as long over a small statement as the driver does: it looks the compiled form
up, switches greenlets and builds a cursor. A small transaction spends most of its processor time there. So a
`text()` that was executed before goes to the driver, and its rows come back as the same kind of result.

The other half of a small transaction is waiting: every statement is a round trip. Nobody waits for what a
`Write` returns, so a session keeps it until something is read, or the transaction ends, and then has all that
it kept executed as one statement.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import TextClause
from sqlalchemy.engine.result import IteratorResult, Result, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import NullType

__all__ = ["StatementSession", "Write"]


T = TypeVar("T")

PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


class _Counted(IteratorResult[Any]):
    """The result of a statement without rows: only how many it touched."""

    rowcount = 0


class _Known:
    """A statement as the driver takes it. `keys` are the names of its columns, None if it returns no rows."""

    __slots__ = ("_keys", "_names", "sql")

    def __init__(self, sql: str, names: list[str], keys: list[str] | None) -> None:
        self.sql = sql
        self._names = names
        self._keys = SimpleResultMetaData(keys) if keys is not None else None

    async def run(self, driver: asyncpg.Connection, parameters: Mapping[str, Any]) -> Result[Any]:
        """Execute the statement. Errors are the driver's."""
        values = [parameters[name] for name in self._names]
        if self._keys is not None:
            rows = await driver.fetch(self.sql, *values)
            return IteratorResult(self._keys, iter([tuple(row) for row in rows]))
        done = _Counted(SimpleResultMetaData([]), iter(()))
        # Such as `UPDATE 3`; what counts nothing ends in a word.
        count = (await driver.execute(self.sql, *values)).rpartition(" ")[2]
        done.rowcount = int(count) if count.isdigit() else 0
        return done


_known: WeakKeyDictionary[TextClause, _Known] = WeakKeyDictionary()


class Write:
    """An INSERT, UPDATE or DELETE of rows of one table that depends on nothing but its parameters, `:name`.

    Writes of different tables can be one statement: each sees the database as it was before all of them
    (PostgreSQL's manual, "Data-Modifying Statements in WITH"). So one that reads a table is no `Write`.
    `then` is an expression to evaluate once, beside it.
    """

    def __init__(self, sql: str, *, then: str | None = None) -> None:
        self.sql = " ".join(sql.split())
        self.then = then
        found = re.match(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)", self.sql)
        assert found is not None, "a write begins with what it does to which table"
        self.table = found[1]
        self.names = list(dict.fromkeys(PARAMETER.findall(self.sql)))

    def numbered(self, first: int) -> str:
        """Return the statement with its parameters numbered from `first` on, in the order of `names`."""
        return PARAMETER.sub(lambda name: f"${first + self.names.index(name[1])}", self.sql)


class _Deferred(NamedTuple):
    write: Write
    parameters: Mapping[str, Any]


# What each combination of writes is as one statement. They are as many as there are ways through the code.
_together: dict[tuple[Write, ...], str] = {}


def _one_statement(writes: tuple[Write, ...]) -> str:
    parts: list[str] = []
    parameters = 0
    for number, write in enumerate(writes):
        parts.append(f"w{number} AS ({write.numbered(parameters + 1)})")
        parameters += len(write.names)
    return f"WITH {', '.join(parts)} SELECT {', '.join(write.then for write in writes if write.then)}"


class StatementSession(AsyncSession):
    """An `AsyncSession` that is quick about `text()`; whatever else it is given takes the usual way.

    Its engine commits by itself (`AUTOCOMMIT`), so that SQLAlchemy neither begins nor ends transactions:
    `transaction` does, without the layers in between.
    """

    # What the first statement is preceded by; None where no transaction is wanted.
    _begin: str | None = None
    _driver: asyncpg.Connection | None = None
    _deferred: Sequence[_Deferred] = ()

    @asynccontextmanager
    async def transaction(self, begin: str = "BEGIN") -> AsyncIterator[None]:
        """Commit what is done inside, or roll it back on an exception. The first statement begins it."""
        self._begin = begin
        try:
            yield
            await self.catch_up()
            await self._control("COMMIT")
        except BaseException as error:
            self._deferred = ()
            await self._roll_back()
            is_lost = self._driver is not None and self._driver.is_closed()
            if is_lost and isinstance(error, Exception) and not isinstance(error, DBAPIError | OSError):
                # Whatever was made of it on the way: a lost connection says nothing about the work.
                raise ConnectionResetError("the connection to the database was lost") from error
            raise

    async def _roll_back(self) -> None:
        if self._driver is None:
            return
        try:
            await self._driver.execute("ROLLBACK")
        except BaseException as error:
            # Nobody knows where the transaction stands, so nobody else may get the connection.
            self._driver.terminate()
            if not isinstance(error, Exception):
                raise

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Take back what was done inside, and only that, if it ends in an exception."""
        await self.driver()
        await self._control("SAVEPOINT inside")
        try:
            yield
            await self.catch_up()
        except BaseException:
            self._deferred = ()
            await self._control("ROLLBACK TO SAVEPOINT inside")
            raise
        await self._control("RELEASE SAVEPOINT inside")

    async def _control(self, statement: str) -> None:
        """Say something about the transaction, if it has begun."""
        if self._driver is None:
            return
        done = await self._answered(statement, self._driver.execute(statement))
        if done == "ROLLBACK" and statement == "COMMIT":
            raise RuntimeError("a statement has failed, and with it the transaction")

    async def defer(self, write: Write, parameters: Mapping[str, Any]) -> None:
        """Have a write executed before anything else is, together with others, or else at the end.

        Its errors are raised then. Writes of one table follow each other in their order.
        """
        if any(write.table == earlier.write.table for earlier in self._deferred):
            await self.catch_up()
        self._deferred = [*self._deferred, _Deferred(write, parameters)]

    async def catch_up(self) -> None:
        """Execute what was deferred."""
        if not self._deferred:
            return
        deferred, self._deferred = self._deferred, ()
        writes = tuple(item.write for item in deferred)
        sql = _together.get(writes)
        if sql is None:
            sql = _together[writes] = _one_statement(writes)
        values = [item.parameters[name] for item in deferred for name in item.write.names]
        driver = await self.driver()
        await self._answered(sql, driver.execute(sql, *values))

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append rows by `COPY`, which is half the work of an INSERT for both sides."""
        driver = await self.driver()
        # The driver reads plain tuples in four fifths of the time that it takes over named ones.
        copying = driver.copy_records_to_table(table, records=map(tuple, rows), columns=list(columns))
        await self._answered(f"COPY {table}", copying)

    async def execute(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Execute a statement, straight by the driver where that is possible."""
        driver = await self.driver()
        if type(statement) is not TextClause or options or not (params is None or type(params) is dict):
            return await super().execute(statement, params, **options)
        known = _known.get(statement)
        if known is None:
            result = await super().execute(statement, params)
            self._learn(statement, result)
            return result
        return await self._answered(known.sql, known.run(driver, params or {}))

    async def scalars(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Execute a statement and return the first column."""
        return (await self.execute(statement, params, **options)).scalars()

    async def scalar(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Execute a statement and return the first column of the first row."""
        return (await self.execute(statement, params, **options)).scalar()

    async def driver(self) -> asyncpg.Connection:
        """Return the driver's connection, with the transaction begun and nothing deferred."""
        await self.catch_up()
        if self._driver is None:
            try:
                raw = await (await self.connection()).get_raw_connection()
            except InvalidRequestError as error:
                # The pool gives up on connections that are lost as soon as they are made.
                raise ConnectionResetError("no connection to the database holds") from error
            assert isinstance(raw.driver_connection, asyncpg.Connection)
            self._driver = raw.driver_connection
            if self._begin is not None:
                await self._control(self._begin)
        return self._driver

    async def _answered(self, sql: str, answer: Awaitable[T]) -> T:
        """Wait for what the driver answers; its errors are raised as SQLAlchemy would raise them."""
        try:
            return await answer
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise await self._translated(error, sql) from error

    async def _translated(self, error: Exception, sql: str) -> Exception:
        """Return the error that SQLAlchemy would have raised."""
        connection = await self.connection()
        dbapi = connection.dialect.loaded_dbapi
        adapter: Any = (await connection.get_raw_connection()).dbapi_connection
        try:
            adapter._handle_exception(error)
        except dbapi.Error as translated:
            return DBAPIError.instance(
                sql, None, translated, dbapi.Error, hide_parameters=True, dialect=connection.dialect
            )
        except Exception as other:
            return other
        return error

    def _learn(self, statement: TextClause, result: Any) -> None:
        if self.bind is None:
            return
        compiled = statement.compile(dialect=self.bind.dialect)
        # A parameter with a type, a list to be written out or a value of its own is for SQLAlchemy to bind.
        if all(
            isinstance(parameter.type, NullType) and parameter.required and not parameter.expanding
            for parameter in compiled.binds.values()
        ):
            keys = list(result.keys()) if result.returns_rows else None
            _known[statement] = _Known(str(compiled), list(compiled.positiontup or ()), keys)
