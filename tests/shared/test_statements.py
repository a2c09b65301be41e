"""Statements that go straight to the driver do, say and fail as they do by way of SQLAlchemy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.clock import utc_now
from shared.database import Database, is_outage, is_transient, savepoint
from shared.statements import StatementSession
from shared.testing import eventually
from shared.writing import COPIED_ROWS, Append, Write, append, write
from tests.fixtures.platform import journal

# The first time SQLAlchemy is asked, and the driver from then on.
TWICE = range(2)

ADD = text("INSERT INTO journal (key, entry) SELECT unnest(CAST(:keys AS text[])), :entry")
READ = text("SELECT key, entry, id FROM journal WHERE entry = :entry ORDER BY key")
CHANGE = text("UPDATE journal SET entry = :entry WHERE key = ANY(CAST(:keys AS text[]))")
NAMED = text("SELECT key FROM journal WHERE key IN :keys ORDER BY key").bindparams(
    bindparam("keys", expanding=True)
)
JOURNAL = Append("journal", key="text", entry="text")
SAY = Append(
    "outbox",
    then="set_config('said.last', 'yes', true)",
    event_id="uuid",
    topic="text",
    key="text",
    type="text",
    version="smallint",
    payload="text",
    occurred_at="timestamptz",
)
CHANGE_LATER = Write("UPDATE journal SET entry = :entry WHERE key = ANY(CAST(:keys AS text[]))")
TYPES = text(
    """
    SELECT CAST(:id AS uuid) AS id, CAST(:amount AS numeric) AS amount, CAST(:document AS jsonb) AS document,
           CAST(:document AS json) AS plain, :id AS again, now() AS at, '{1,2}'::int[] AS numbers
    """
)


@pytest.fixture
async def session(platform_database: Database) -> AsyncIterator[AsyncSession]:
    async with platform_database.transaction() as session:
        yield session


async def test_rows_are_the_same_kind_of_rows(session: AsyncSession) -> None:
    await session.execute(ADD, {"keys": ["a", "b"], "entry": "1"})
    for _ in TWICE:
        rows = (await session.execute(READ, {"entry": "1"})).all()
        assert [(row.key, row[1]) for row in rows] == [("a", "1"), ("b", "1")]
        assert [key for key, *_ in rows] == ["a", "b"]
        assert rows[0]._mapping["key"] == rows[0]._asdict()["key"] == "a"
        assert (await session.execute(READ, {"entry": "1"})).mappings().all()[1]["key"] == "b"
        assert (await session.scalars(READ, {"entry": "1"})).all() == ["a", "b"]
        assert await session.scalar(READ, {"entry": "1"}) == "a"
        assert await session.scalar(READ, {"entry": "2"}) is None
        assert (await session.execute(READ, {"entry": "2"})).one_or_none() is None
        assert (await session.scalars(NAMED, {"keys": ["b", "c"]})).all() == ["b"]
        assert (await session.scalars(NAMED, {"keys": ["a", "b"]})).all() == ["a", "b"]


async def test_values_are_of_the_same_types(session: AsyncSession) -> None:
    values = {"id": uuid4(), "amount": 3, "document": '{"a": 1}'}
    first, second = [(await session.execute(TYPES, values)).one() for _ in TWICE]
    assert first == second
    assert [type(value) for value in first] == [type(value) for value in second]


async def test_what_was_touched_is_counted(session: AsyncSession) -> None:
    await session.execute(ADD, {"keys": ["a", "b"], "entry": "1"})
    for entry in ("2", "3"):
        changed = await session.execute(CHANGE, {"keys": ["a", "b", "c"], "entry": entry})
        assert changed.rowcount == 2  # type: ignore[attr-defined]  # both kinds of result have it


@pytest.mark.parametrize("count", [1, COPIED_ROWS])
async def test_rows_may_be_appended_first_or_later(platform_database: Database, count: int) -> None:
    async with platform_database.transaction() as session:
        await append(session, JOURNAL, [("a", str(number)) for number in range(count)])
        await session.execute(ADD, {"keys": ["b"], "entry": "1"})
        await append(session, JOURNAL, [("c", str(number)) for number in range(count)])
    with contextlib.suppress(RuntimeError):
        async with platform_database.transaction() as session:
            await append(session, JOURNAL, [("d", "1")] * count)
            raise RuntimeError
    numbers = [str(number) for number in range(count)]
    wanted = [*(("a", number) for number in numbers), ("b", "1"), *(("c", number) for number in numbers)]
    assert await journal(platform_database) == wanted


async def test_errors_are_those_of_sqlalchemy(platform_database: Database) -> None:
    unique = text("CREATE UNIQUE INDEX ON journal (key)")

    async def add_twice() -> None:
        async with platform_database.transaction() as session:
            await session.execute(unique)
            await session.execute(ADD, {"keys": ["a"], "entry": "1"})
            await session.execute(ADD, {"keys": ["a"], "entry": "hidden"})

    for _ in TWICE:
        with pytest.raises(IntegrityError) as caught:
            await add_twice()
        assert "hidden" not in str(caught.value)
        assert not is_outage(caught.value)
    assert await journal(platform_database) == []


async def test_a_reading_transaction_writes_in_no_way(platform_database: Database) -> None:
    async with platform_database.transaction() as session:
        for _ in TWICE:
            await session.execute(CHANGE, {"keys": ["a"], "entry": "1"})

    async def read_and_write() -> None:
        async with platform_database.reading() as session:
            await session.scalar(READ, {"entry": "1"})
            await session.execute(CHANGE, {"keys": ["a"], "entry": "1"})

    with pytest.raises(DBAPIError, match="read-only"):
        await read_and_write()


async def test_a_lost_connection_is_an_outage_and_is_not_used_again(platform_database: Database) -> None:
    async def lose_it() -> None:
        async with platform_database.transaction() as session:
            own = await session.scalar(text("SELECT pg_backend_pid()"))
            async with platform_database.dedicated() as other:
                await other.fetchval("SELECT pg_terminate_backend($1, 10000)", own)
            await session.execute(READ, {"entry": "1"})

    for _ in TWICE:
        with pytest.raises(DBAPIError) as caught:
            await lose_it()
        assert is_outage(caught.value)
    async with platform_database.transaction() as session:
        assert await session.scalar(READ, {"entry": "1"}) is None


async def test_work_that_is_cancelled_leaves_the_connection_usable(platform_database: Database) -> None:
    sleep = text("SELECT pg_sleep(:seconds)")
    reached = asyncio.Event()

    async def work() -> None:
        async with platform_database.transaction() as session:
            await session.execute(ADD, {"keys": ["a"], "entry": "1"})
            for seconds in (0.0, 0.0, 60.0):
                await session.execute(sleep, {"seconds": seconds})
                reached.set()

    task = asyncio.create_task(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(12):
        assert await journal(platform_database) == []


async def test_a_sacrificed_transaction_is_known_as_one(platform_database: Database) -> None:
    lock = text("SELECT key FROM journal WHERE key = :key FOR UPDATE NOWAIT")
    async with platform_database.transaction() as session:
        await session.execute(ADD, {"keys": ["a"], "entry": "1"})

    async def lock_it() -> None:
        async with platform_database.transaction() as other:
            await other.scalar(READ, {"entry": "1"})
            await other.execute(lock, {"key": "a"})

    for _ in TWICE:
        async with platform_database.transaction() as holder:
            await holder.execute(lock, {"key": "a"})
            with pytest.raises(DBAPIError) as caught:
                await lock_it()
            assert is_transient(caught.value)


def said(key: str) -> tuple[object, ...]:
    return (uuid4(), "orders", key, "order.paid", 1, "{}", utc_now())


async def test_what_is_only_written_is_one_statement(session: AsyncSession) -> None:
    await session.execute(READ, {"entry": "0"})
    assert isinstance(session, StatementSession)
    driver = await session.driver()
    asked: list[str] = []
    with driver.query_logger(lambda query: asked.append(query.query)):
        await append(session, JOURNAL, [("a", "1"), ("b", "1")])
        await append(session, SAY, [said("a")])
        assert asked == []
        assert (await session.scalars(READ, {"entry": "1"})).all() == ["a", "b"]
    (writing,) = [query for query in asked if "INTO" in query]
    assert "INTO journal" in writing
    assert "INTO outbox" in writing
    assert await session.scalar(text("SELECT key FROM outbox")) == "a"
    assert await session.scalar(text("SELECT current_setting('said.last')")) == "yes"


async def test_writes_of_one_table_follow_each_other(session: AsyncSession) -> None:
    await append(session, JOURNAL, [("a", "1"), ("b", "1")])
    await write(session, CHANGE_LATER, {"keys": ["a"], "entry": "2"})
    await write(session, CHANGE_LATER, {"keys": ["a", "b"], "entry": "3"})
    await append(session, JOURNAL, [("c", "1")])
    assert [(key, entry) for key, entry, _ in await session.execute(READ, {"entry": "3"})] == [
        ("a", "3"),
        ("b", "3"),
    ]
    assert (await session.scalars(READ, {"entry": "1"})).all() == ["c"]


async def test_a_deferred_error_is_raised_where_the_session_reads_or_ends(
    platform_database: Database,
) -> None:
    async with platform_database.transaction() as session:
        await session.execute(text("CREATE UNIQUE INDEX ON journal (key)"))

    async def add_twice(*, then_read: bool) -> None:
        async with platform_database.transaction() as session:
            await append(session, JOURNAL, [("a", "1"), ("a", "hidden")])
            if then_read:
                await session.execute(READ, {"entry": "1"})

    for then_read in (True, False):
        with pytest.raises(IntegrityError) as caught:
            await add_twice(then_read=then_read)
        assert "hidden" not in str(caught.value)
    assert await journal(platform_database) == []


async def test_a_savepoint_takes_back_what_came_after_it_and_no_more(platform_database: Database) -> None:
    async with platform_database.transaction() as session:
        await append(session, JOURNAL, [("before", "1")])
        with contextlib.suppress(RuntimeError):
            async with savepoint(session):
                await append(session, JOURNAL, [("inside", "1")])
                raise RuntimeError
        await append(session, JOURNAL, [("after", "1")])
    assert [key for key, _ in await journal(platform_database)] == ["before", "after"]


async def test_a_failed_transaction_is_never_said_to_be_committed(platform_database: Database) -> None:
    async def carry_on() -> None:
        async with platform_database.transaction() as session:
            await append(session, JOURNAL, [("a", "1")])
            with contextlib.suppress(DBAPIError):
                await session.execute(text("SELECT 1 / 0"))

    with pytest.raises(RuntimeError, match="has failed"):
        await carry_on()
    assert await journal(platform_database) == []


async def test_a_connection_lost_while_idle_is_replaced_unnoticed(platform_database: Database) -> None:
    async def backend() -> int:
        async with platform_database.transaction() as session:
            return int(await session.scalar(text("SELECT pg_backend_pid()")))

    lost = await backend()
    async with platform_database.dedicated() as other:
        await other.fetchval("SELECT pg_terminate_backend($1, 10000)", lost)
        # The server has closed it; the answer to another question comes after that news.
        await other.fetchval("SELECT pg_sleep(0.05)")
    assert await backend() != lost


async def test_a_transaction_that_was_cancelled_at_its_end_is_over(platform_database: Database) -> None:
    slow = text(
        """
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON journal DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION pause()
        """
    )
    async with platform_database.transaction() as session:
        pause = "BEGIN PERFORM pg_sleep(60); RETURN NULL; END"
        await session.execute(text(f"CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS '{pause}'"))
        await session.execute(slow)

    async def work() -> None:
        async with platform_database.transaction() as session:
            await append(session, JOURNAL, [("a", "1")])

    task = asyncio.create_task(work())
    async with platform_database.dedicated() as other:
        committing = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
        await eventually(lambda: other.fetchval(committing))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with platform_database.transaction() as session:
        await session.execute(text("DROP TRIGGER slow ON journal"))
        await session.execute(text("DROP FUNCTION pause"))
    assert await journal(platform_database) == []


async def test_whatever_a_lost_connection_looks_like_it_is_an_outage(platform_database: Database) -> None:
    async def lose_it() -> None:
        async with platform_database.transaction() as session:
            own = await session.scalar(text("SELECT pg_backend_pid()"))
            async with platform_database.dedicated() as other:
                await other.fetchval("SELECT pg_terminate_backend($1, 10000)", own)
            raise AttributeError("as the driver may say in the middle of a COPY")

    with pytest.raises(OSError, match="lost") as caught:
        await lose_it()
    assert is_outage(caught.value)
