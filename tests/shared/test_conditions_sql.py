"""PostgreSQL and Python give one answer, for all conditions and all facts."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    insert,
    select,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cli.embedded.postgres import EmbeddedPostgres
from shared.conditions import OPERATORS, Condition, FieldSet, FieldType, Operator, compiled, evaluate, parse
from shared.conditions.sql import to_sql

NOW = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)
FIELDS = FieldSet({kind.value: kind for kind in FieldType})

FACTS = Table(
    "facts",
    MetaData(),
    Column("row", Integer, primary_key=True),
    Column("string", Text),
    Column("integer", BigInteger),
    Column("decimal", Numeric),
    Column("boolean", Boolean),
    Column("instant", DateTime(timezone=True)),
    Column("id", Uuid),
    Column("strings", ARRAY(Text)),
)
COLUMNS = {kind.value: FACTS.c[kind.value] for kind in FieldType}

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy gives it no types.

Row = dict[str, Any]


class Database:
    """The table of facts, asked from synchronous tests over one connection."""

    def __init__(self, runner: asyncio.Runner, connection: AsyncConnection) -> None:
        self._runner = runner
        self._connection = connection

    def answers(self, condition: Condition, rows: Sequence[Row]) -> tuple[list[bool], list[bool]]:
        """For each row: is it in the WHERE, and what is the value of the clause made two-valued."""
        return self._runner.run(self._answers(condition, rows))

    async def _answers(self, condition: Condition, rows: Sequence[Row]) -> tuple[list[bool], list[bool]]:
        clause = to_sql(condition, COLUMNS, NOW)
        numbered = [{"row": number, **row} for number, row in enumerate(rows)]
        everything = select(clause.is_(true())).select_from(FACTS).order_by(FACTS.c.row)
        async with self._connection.begin() as transaction:
            await self._connection.execute(insert(FACTS), numbered)
            found = set(await self._connection.scalars(select(FACTS.c.row).where(clause)))
            values = list(await self._connection.scalars(everything))
            await transaction.rollback()
        return [number in found for number in range(len(rows))], values


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    url = postgres.create_service_database("conditions").replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url)
    with asyncio.Runner() as runner:
        connection = runner.run(_connected(engine))
        yield Database(runner, connection)
        runner.run(connection.close())
        runner.run(engine.dispose())


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    async with engine.begin() as connection:
        await connection.run_sync(FACTS.metadata.create_all)
    return await engine.connect()


# Few values, so that facts and conditions meet; and those at the edges, where the two languages could part:
# case and accents, composed and not, LIKE's wildcards, beyond the basic plane, the ends of bigint.
WORDS = ["", "a", "A", "b", "B", "aB", "é", "e\u0301", "f", "ß", "%", "_", "\\", "'", "\uffff", "😀", "a" * 9]
texts = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4
)
integers = st.sampled_from([-(2**63), -1, 0, 1, 2, 2**31, 2**53 + 1, 2**63 - 1]) | st.integers(-3, 3)
decimals = st.sampled_from(["-0", "0.1", "0.10", "1", "1.000000000000000000001", "9" * 32, "-2.5"])
days = st.integers(0, 3)
ids = st.sampled_from([UUID(int=0), UUID(int=1), UUID(int=2**128 - 1)])
instants = st.sampled_from(
    [
        NOW - timedelta(days=2),
        NOW - timedelta(days=1),
        NOW,
        NOW + timedelta(microseconds=1),
        NOW + timedelta(hours=1),
    ]
)

FACT_OF: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.STRING: texts,
    FieldType.INTEGER: integers,
    FieldType.DECIMAL: decimals.map(Decimal) | integers.map(Decimal),
    FieldType.BOOLEAN: st.booleans(),
    FieldType.INSTANT: instants,
    FieldType.ID: ids,
    FieldType.STRINGS: st.lists(texts, max_size=3),
}
JSON_OF: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.STRING: texts,
    FieldType.INTEGER: integers,
    FieldType.DECIMAL: decimals | integers,
    FieldType.BOOLEAN: st.booleans(),
    FieldType.INSTANT: instants.map(datetime.isoformat)
    | st.builds(lambda unit, count: {unit: count}, st.sampled_from(["days_ago", "hours_ahead"]), days),
    FieldType.ID: ids.map(str),
    FieldType.STRINGS: texts,
}


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(list(FieldType)))
    operator = draw(st.sampled_from(sorted(OPERATORS[kind])))
    comparison: dict[str, Any] = {"field": kind.value, "op": operator.value}
    if operator is Operator.IN:
        comparison["value"] = draw(st.lists(JSON_OF[kind], min_size=1, max_size=3))
    elif operator is Operator.BETWEEN:
        comparison["value"] = [draw(JSON_OF[kind]), draw(JSON_OF[kind])]
    elif operator is not Operator.EXISTS:
        comparison["value"] = draw(JSON_OF[kind])
    return comparison


def _composites(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(parts, max_size=3)
    return st.one_of(
        several.map(lambda conditions: {"all": conditions}),
        several.map(lambda conditions: {"any": conditions}),
        parts.map(lambda condition: {"not": condition}),
    )


conditions = st.recursive(comparisons(), _composites, max_leaves=8)
rows = st.lists(
    st.fixed_dictionaries({kind.value: st.none() | FACT_OF[kind] for kind in FieldType}),
    min_size=1,
    max_size=4,
)
NOTHING: Row = dict.fromkeys(FIELDS)


# The table is emptied after every example, so that sharing the database between them is no danger.
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=conditions, facts=rows)
@example(condition={"not": {"field": "string", "op": "ne", "value": "a"}}, facts=[NOTHING])
@example(condition={"not": {"not": {"field": "strings", "op": "contains", "value": "a"}}}, facts=[NOTHING])
@example(condition={"field": "string", "op": "gt", "value": "\uffff"}, facts=[{**NOTHING, "string": "😀"}])
@example(condition={"field": "string", "op": "lt", "value": "a"}, facts=[{**NOTHING, "string": "B"}])
@example(condition={"field": "string", "op": "contains", "value": "%"}, facts=[{**NOTHING, "string": "a"}])
@example(
    condition={"not": {"any": [{"field": "integer", "op": "eq", "value": 1}, {"all": []}]}}, facts=[NOTHING]
)
def test_sql_and_python_answer_alike(database: Database, condition: Any, facts: list[Row]) -> None:
    parsed = parse(condition, FIELDS)
    expected = [evaluate(parsed, row, NOW) for row in facts]
    test = compiled(parsed)
    assert [test(row, NOW) for row in facts] == expected
    assert database.answers(parsed, facts) == (expected, expected)


def test_every_value_is_a_bound_parameter() -> None:
    condition = parse(
        {
            "all": [
                {"field": "string", "op": "in", "value": ["'; DROP"]},
                {"field": "integer", "op": "eq", "value": 4711},
            ]
        },
        FIELDS,
    )
    compiled = to_sql(condition, COLUMNS).compile(dialect=DIALECT)
    assert "DROP" not in str(compiled)
    assert "4711" not in str(compiled)
    assert set(map(str, compiled.params.values())) == {'["\'; DROP"]', "4711"}


@pytest.mark.parametrize("op", ["lt", "lte", "gt", "gte", "between"])
def test_the_order_of_strings_is_never_left_to_the_language_of_the_database(op: str) -> None:
    # The embedded server has no other collation than "C", so that the property above cannot find this.
    value = ["a", "b"] if op == "between" else "a"
    clause = to_sql(parse({"field": "string", "op": op, "value": value}, FIELDS), COLUMNS)
    assert str(clause.compile(dialect=DIALECT)).startswith('(facts.string COLLATE "C")')


def test_a_field_without_a_column_is_an_error_of_the_code() -> None:
    with pytest.raises(KeyError, match="integer"):
        to_sql(parse({"field": "integer", "op": "exists"}, FIELDS), {})
