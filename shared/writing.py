"""Rows on their way into the database: copied where they are many, and otherwise written together.

A transaction of few rows costs its round trips. So what only writes is a `Write`, and a session executes all
that it was given, of different tables, as one statement (`StatementSession.defer`). A transaction of many
rows costs what each row does, and `COPY` is half the work of an INSERT on both sides.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.statements import StatementSession, Write

__all__ = ["Append", "Write", "append", "columns", "write"]

# From this many rows on, the two round trips of a COPY are repaid.
COPIED_ROWS: Final = 100


class Append:
    """How rows are appended to a table: its columns with their types, and what to evaluate once beside it."""

    def __init__(self, table: str, /, *, then: str | None = None, **types: str) -> None:
        self.table = table
        self.then = text(f"SELECT {then}") if then else None
        self.columns = tuple(types)
        arrays = [f"CAST(:p{number} AS {name}[])" for number, name in enumerate(types.values())]
        rows = f"SELECT * FROM unnest({', '.join(arrays)})"  # noqa: S608 - constant names
        self.insert = Write(f"INSERT INTO {table} ({', '.join(types)}) {rows}", then=then)


async def append(session: AsyncSession, to: Append, rows: Sequence[Sequence[Any]]) -> None:
    """Append rows, in order, each with a value for each column. They are known to be new: no ON CONFLICT.

    Few rows are written when the session next reads or ends; errors are raised then.
    """
    assert isinstance(session, StatementSession)
    if len(rows) >= COPIED_ROWS:
        if to.then is not None:
            await session.execute(to.then)
        await session.copy(to.table, to.columns, rows)
    elif rows:
        await session.defer(to.insert, columns(rows))


async def write(session: AsyncSession, statement: Write, parameters: Mapping[str, Any]) -> None:
    """Have rows written when the session next reads or ends, in one round trip with others.

    Errors are raised then, as SQLAlchemy raises them.
    """
    assert isinstance(session, StatementSession)
    await session.defer(statement, parameters)


def columns(rows: Iterable[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the columns of some rows, of one length each and at least one, as parameters p0, p1, …"""
    return {f"p{number}": column for number, column in enumerate(zip(*rows, strict=True))}
