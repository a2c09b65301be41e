"""What the demo reckons with: the purchase history, and a sink that loses no mail."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib

from cli.demo.purchases import Purchases, dataset, tiers
from cli.embedded.ports import LOOPBACK, free_port
from cli.mail_sink import Sink, deliveries, listening

TODAY = date(2026, 3, 1)


def test_the_purchase_history_is_the_one_that_was_published() -> None:
    purchases = Purchases(dataset(), today=TODAY)
    assert purchases.orders == 69_659
    assert purchases.members == 23_570
    assert purchases.revenue_minor == 250_031_563
    assert purchases.points_earned == 2_453_159
    assert sum(row.cents == 0 for row in purchases.rows) == 80


def test_the_last_order_was_yesterday() -> None:
    purchases = Purchases(dataset(), today=TODAY)
    assert max(row.paid_at for row in purchases.rows).date() == TODAY - timedelta(days=1)


def test_points_expire_at_the_instant_and_not_on_the_day() -> None:
    purchases = Purchases(dataset(), limit=1000, today=TODAY)
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    due = sum(row.points for row in purchases.rows if row.paid_at.date() == noon.date() - timedelta(days=365))
    before = purchases.points_expired(noon - timedelta(microseconds=1))
    assert purchases.points_expired(noon) - before == due
    assert 0 < before < purchases.points_earned


def test_tiers_follow_spend() -> None:
    assert tiers({"a": 0, "b": 19_999, "c": 20_000, "d": 50_000, "e": 150_000}) == {
        "bronze": 2,
        "silver": 1,
        "gold": 1,
        "platinum": 1,
    }


async def test_the_sink_notes_every_recipient_of_every_mail(tmp_path: Path) -> None:
    path, port = tmp_path / "mail.ndjson", free_port()
    async with listening(Sink(path), port):
        await asyncio.gather(*(send(port, number) for number in range(20)))
    noted = list(deliveries(path))
    assert {note.message_id for note in noted} == {f"<{number}@example.test>" for number in range(20)}
    assert {note.to for note in noted} == {"kim@example.test", "lee@example.test"}
    assert len(noted) == 40
    assert {note.subject for note in noted} == {"Welcome"}


async def send(port: int, number: int) -> None:
    message = EmailMessage()
    message["From"] = "shop@example.test"
    message["To"] = "kim@example.test, lee@example.test"
    message["Message-ID"] = f"<{number}@example.test>"
    message["Subject"] = "Welcome"
    message.set_content("Good to see you.\nSubject: not this one\n")
    await aiosmtplib.send(message, hostname=LOOPBACK, port=port)
