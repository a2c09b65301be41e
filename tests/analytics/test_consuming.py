"""From records of the bus to books that add up: duplicates, poison and good events in one stream."""

from datetime import UTC, datetime

from sqlalchemy import text

from services.analytics import jobs, operations
from services.analytics.handlers import handlers
from services.analytics.operations.verification import DIFFERENCES
from shared.bus import Bus
from shared.consumer import Consumer
from shared.database import Database
from tests.analytics.world import paid, points, refunded
from tests.fixtures.platform import Topicful

BEGINNING, END = datetime(1, 1, 1, tzinfo=UTC).date(), datetime(9999, 1, 1, tzinfo=UTC).date()


async def test_received_is_stored_and_duplicate_and_rejected(
    analytics_database: Database, platform_bus: Bus
) -> None:
    topic = Topicful()
    good = [topic.record(event) for number in range(20) for event in (paid(number), *points(number))]
    good += [topic.record(refunded(number)) for number in range(5)]
    far = [topic.record(paid(n, paid_at=datetime(2999, 1, 1, tzinfo=UTC))) for n in (100, 101)]
    broken = topic.record(paid(102), value=b"{")
    said_again = topic.record(paid(3))
    consumer = Consumer(
        analytics_database,
        platform_bus,
        handlers,
        group="analytics",
        batch_records=500,
        wait_seconds=0.05,
        stop_ratio=0.9,
        stop_window=100,
    )
    await consumer.apply([*good[:50], far[0], broken, *good[50:], far[1], *good[:7]])
    # The same records again, and one order said again as another event.
    await consumer.apply([*good[90:], said_again])
    async with analytics_database.reading() as session:
        books = await operations.ingest_books(session, BEGINNING, END)
        assert books.total("stored") == len(good)
        assert books.total("duplicate") == 7 + len(good[90:]) + 1
        assert books.total("rejected") == 3
        assert books.total("received") == len(good) * 2 - 90 + 7 + 1 + 3
        assert set((await operations.verify(session)).values()) == {0}
        reasons = await session.scalars(text("SELECT code FROM dead_letters ORDER BY code"))
        assert list(reasons)[-2:] == ["impossible_time", "impossible_time"]


async def test_the_job_shows_what_differs(analytics_database: Database) -> None:
    async with analytics_database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO daily_counts (day, kind, label, currency, occurrences)"
                " VALUES (current_date, 'link.shared', '', '', 1)"
            )
        )
    (job,) = jobs.jobs
    assert await job.work(analytics_database) == 0
    assert DIFFERENCES.labels("daily_counts")._value.get() == 1
    assert DIFFERENCES.labels("daily_sales")._value.get() == 0
