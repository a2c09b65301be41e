"""Outbox and relay: what commits is published, in order per key, and nothing else is."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from shared import metrics
from shared.bus import Bus, BusUnavailable, Outgoing, Record
from shared.clock import utc_now
from shared.database import Database
from shared.events import MemberProfileErased, envelope_of
from shared.outbox import emit, prune
from shared.relay import MEASURE, NEXT_WINDOW, Relay, measure
from shared.testing import eventually
from tests.fixtures.platform import derived, entered, write


@contextlib.asynccontextmanager
async def relaying(
    database: Database, bus: Bus, batch_records: int = 100, linger_seconds: float = 0.0
) -> AsyncIterator[asyncio.Task[None]]:
    relay = Relay(
        database,
        bus,
        source="toys",
        batch_records=batch_records,
        linger_seconds=linger_seconds,
        idle_seconds=0.05,
    )
    task = asyncio.create_task(relay.run(lambda: None))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def read_all(bus: Bus, topic: str, count: int) -> list[Record]:
    """Read until `count` records have come."""
    subscription = bus.subscribe(f"readers-{topic}", [topic])
    await subscription.start()
    records: list[Record] = []

    async def enough() -> bool:
        async with subscription.batch(1000, 0.1) as batch:
            records.extend(batch)
        return len(records) >= count

    try:
        await eventually(enough)
    finally:
        await subscription.close()
    return records


async def depth(database: Database) -> int:
    async with database.reading() as session:
        return await measure(session)


async def test_committed_events_arrive_and_rolled_back_ones_never(
    platform_database: Database, platform_bus: Bus
) -> None:
    async with relaying(platform_database, platform_bus):
        with contextlib.suppress(RuntimeError):
            async with platform_database.transaction() as session:
                await emit(session, [entered(13)])
                raise RuntimeError
        for n in range(5):
            async with platform_database.transaction() as session:
                await emit(session, [entered(n, s) for s in range(3)])
        records = await read_all(platform_bus, "segments", 15)
        await eventually(lambda: depth_is_zero(platform_database))
    envelopes = [envelope_of(record) for record in records]
    assert len({envelope.id for envelope in envelopes}) == 15
    assert {envelope.source for envelope in envelopes} == {"toys"}
    assert str(derived("member", 13)) not in {envelope.key for envelope in envelopes}
    for n in range(5):
        mine = [e.data.segment_id for e in envelopes if e.key == str(derived("member", n))]
        assert mine == [derived("segment", s) for s in range(3)]


async def depth_is_zero(database: Database) -> bool:
    return await depth(database) == 0


async def test_a_late_committer_with_a_lower_id_is_not_skipped(
    platform_database: Database, platform_bus: Bus
) -> None:
    async with relaying(platform_database, platform_bus):
        async with platform_database.transaction() as slow:
            await emit(slow, [entered(1)])
            async with platform_database.transaction() as quick:
                await emit(quick, [entered(2)])
            # The quick one has committed with a higher id; the horizon stays below the slow one.
            assert await depth(platform_database) == 1
        records = await read_all(platform_bus, "segments", 2)
    assert {record.key for record in records} == {str(derived("member", n)) for n in (1, 2)}


async def test_who_began_first_and_had_to_wait_is_not_published_first(
    platform_database: Database, platform_bus: Bus
) -> None:
    marker, earlier, later = entered(0), entered(1, 1), entered(1, 2)
    async with relaying(platform_database, platform_bus):
        async with platform_database.transaction() as between:
            async with platform_database.transaction() as first:
                await emit(first, [marker])
                await write(first, [("first", "has the lowest transaction id")])
                await write(between, [("between", "has the next one, and goes on working")])
                async with platform_database.transaction() as second:
                    await emit(second, [earlier])
                # As who has waited for the member that the second had locked.
                await emit(first, [later])
            records = await read_all(platform_bus, "segments", 1)
        records += await read_all(platform_bus, "segments", 3 - len(records))
    assert [envelope_of(record).data for record in records] == [marker, earlier, later]


async def test_order_per_key_holds_across_concurrent_writers_and_small_batches(
    platform_database: Database, platform_bus: Bus
) -> None:
    async with platform_database.transaction() as session:
        await session.execute(
            text("INSERT INTO journal (key, entry) SELECT n::text, '0' FROM generate_series(0, 4) AS n")
        )

    async def write_history(writer: int) -> None:
        for step in range(20):
            member = (writer + step) % 5
            async with platform_database.transaction() as session:
                # Each writer takes its transaction id before it waits for the aggregate.
                await emit(session, [entered(100 + writer, step)])
                current = await session.scalar(
                    text("SELECT entry FROM journal WHERE key = :key FOR UPDATE"), {"key": str(member)}
                )
                following = int(current or 0) + 1
                await session.execute(
                    text("UPDATE journal SET entry = :entry WHERE key = :key"),
                    {"entry": str(following), "key": str(member)},
                )
                await emit(session, [entered(member, following)])

    async with relaying(platform_database, platform_bus, batch_records=7):
        await asyncio.gather(*(write_history(writer) for writer in range(8)))
        records = await read_all(platform_bus, "segments", 8 * 20 * 2)
    histories = defaultdict(list)
    for record in records:
        histories[record.key].append(envelope_of(record).data.segment_id)
    for member in range(5):
        expected = [derived("segment", step) for step in range(1, 33)]
        assert histories[str(derived("member", member))] == expected


async def test_only_one_of_two_relays_publishes_and_the_other_takes_over(
    platform_database: Database, platform_bus: Bus
) -> None:
    async with relaying(platform_database, platform_bus), relaying(platform_database, platform_bus):
        async with platform_database.transaction() as session:
            await emit(session, [entered(n) for n in range(50)])
        await read_all(platform_bus, "segments", 50)
        # Whichever leads loses its connection; nothing is lost and little is said twice.
        async with platform_database.transaction() as session:
            await session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
            )
            await emit(session, [entered(n, 1) for n in range(50)])
        await eventually(lambda: depth_is_zero(platform_database))
    ends = await platform_bus.end_offsets(["segments"])
    assert sum(ends.values()) >= 100


class Unreliable:
    """A bus whose first publishes fail, as during an outage."""

    def __init__(self, bus: Bus, failures: int) -> None:
        self._bus = bus
        self.failures = failures

    async def publish(self, records: list[Outgoing]) -> None:
        if self.failures:
            self.failures -= 1
            raise BusUnavailable
        await self._bus.publish(records)


async def test_a_bus_outage_keeps_the_outbox_until_it_is_back(
    platform_database: Database, platform_bus: Bus
) -> None:
    unreliable = Unreliable(platform_bus, failures=3)
    async with relaying(platform_database, unreliable):  # type: ignore[arg-type]  # publish is all it uses
        async with platform_database.transaction() as session:
            await emit(session, [entered(n) for n in range(10)])
        assert len(await read_all(platform_bus, "segments", 10)) == 10
    assert unreliable.failures == 0


async def test_a_tombstone_has_no_value(platform_database: Database, platform_bus: Bus) -> None:
    async with relaying(platform_database, platform_bus):
        async with platform_database.transaction() as session:
            await emit(session, [MemberProfileErased(member_id=derived("member", 1))])
        (record,) = await read_all(platform_bus, "member-profiles", 1)
    assert record.value is None


async def test_published_rows_leave_and_unpublished_ones_stay(
    platform_database: Database, platform_bus: Bus
) -> None:
    async with relaying(platform_database, platform_bus):
        async with platform_database.transaction() as session:
            await emit(session, [entered(n) for n in range(30)])
        await eventually(lambda: depth_is_zero(platform_database))
    async with platform_database.transaction() as session:
        await emit(session, [entered(99)])
    async with platform_database.transaction() as session:
        assert await prune(session, before=utc_now(), limit=20) == 20
        assert await prune(session, before=utc_now(), limit=20) == 10
        assert await prune(session, before=utc_now(), limit=20) == 0
    assert await depth(platform_database) == 1


def rows_read(plan: dict[str, Any]) -> int:
    """Count the rows that the scans of an analysed plan have looked at."""
    own = 0
    if plan["Node Type"].endswith("Scan"):
        own = int(plan["Actual Rows"] * plan["Actual Loops"] + plan.get("Rows Removed by Filter", 0))
    return own + sum(rows_read(each) for each in plan.get("Plans", ()))


async def test_a_relay_that_is_stopped_leaves_nothing_to_be_published_again(
    platform_database: Database, platform_bus: Bus
) -> None:
    published = metrics.RELAY_PUBLISHED.labels("segments")
    before = published._value.get()
    # It stores what it has published with its next look, which is a minute away.
    async with relaying(platform_database, platform_bus, linger_seconds=60):
        async with platform_database.transaction() as session:
            await emit(session, [entered(1)])
        await eventually(lambda: published._value.get() > before)
        assert await depth(platform_database) == 1
    assert await depth(platform_database) == 0


async def test_an_outbox_from_another_server_is_taken_up(
    platform_database: Database, platform_bus: Bus
) -> None:
    """As a dump brings it: its transaction ids, and its cursor's, are not those of this server."""
    async with platform_database.transaction() as session:
        await emit(session, [entered(n) for n in range(5)])
        # There two windows were published, and two records of the one that followed.
        await session.execute(
            text(
                """
                WITH nth AS (SELECT id, row_number() OVER (ORDER BY id) AS nth FROM outbox)
                UPDATE outbox SET transaction_id = (10::bigint ^ 15 + nth)::bigint::text::xid8
                FROM nth WHERE nth.id = outbox.id
                """
            )
        )
        await session.execute(
            text(
                """
                INSERT INTO outbox_cursor (name, horizon, window_end, after_id, updated_at)
                SELECT 'relay', '1000000000000002', '1000000000000006', id, now()
                FROM outbox ORDER BY id OFFSET 2 LIMIT 1
                """
            )
        )
    async with platform_database.transaction() as session:
        await emit(session, [entered(5)])
    async with relaying(platform_database, platform_bus):
        records = await read_all(platform_bus, "segments", 3)
        async with platform_database.transaction() as session:
            await emit(session, [entered(6)])
        records += await read_all(platform_bus, "segments", 1)
        await eventually(lambda: depth_is_zero(platform_database))
    assert sorted(record.key or "" for record in records) == sorted(
        str(derived("member", n)) for n in (3, 4, 5, 6)
    )
    async with platform_database.transaction() as session:
        assert await prune(session, before=utc_now(), limit=100) > 0


@pytest.mark.parametrize("analysed", [False, True], ids=["unknown to the planner", "known to the planner"])
async def test_what_was_published_and_is_kept_costs_the_relay_nothing(
    platform_database: Database, platform_bus: Bus, analysed: bool
) -> None:
    async with relaying(platform_database, platform_bus):
        for _ in range(10):
            async with platform_database.transaction() as session:
                await emit(session, [entered(n) for n in range(500)])
        await eventually(lambda: depth_is_zero(platform_database))
    async with platform_database.dedicated() as connection:
        if analysed:
            await connection.execute("ANALYZE outbox")
        horizon = await connection.fetchval("SELECT horizon::text FROM outbox_cursor")
        async with platform_database.transaction() as session:
            await emit(session, [entered(1)])
        window = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {NEXT_WINDOW}", horizon, 0, False, 100
        )
        measured = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {MEASURE.text}")
    for plan in (window, measured):
        (each,) = json.loads(plan)
        # One event waits; the cursor and the sessions of the server are read too.
        assert rows_read(each["Plan"]) < 500
    assert await depth(platform_database) == 1
