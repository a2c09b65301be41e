"""Messages on their way out: a real ledger, a real mail server, and everything that it may answer."""

from typing import Any
from uuid import UUID

from services.messaging import operations
from services.messaging.channels import Channels
from services.messaging.handlers import handlers
from services.messaging.jobs.dispatch import dispatch
from services.messaging.settings import settings
from shared.database import Database
from shared.events import Envelope
from shared.testing import eventually
from tests.fixtures.services import emitted
from tests.messaging.people import envelope, member, profile, upgrade
from tests.messaging.sink import Sink


async def hear(database: Database, *events: Envelope[Any]) -> None:
    async with database.transaction() as session:
        await handlers.dispatch(session, events)


async def welcome(database: Database, count: int = 1) -> list[UUID]:
    """Members with a profile and an upgrade each."""
    people = [member(number) for number in range(count)]
    await hear(database, *(envelope(profile(person)) for person in people))
    await hear(database, *(envelope(upgrade(person)) for person in people))
    return people


async def send(database: Database, channels: Channels) -> int:
    return await dispatch(database, channels, "email", settings())


async def recover(database: Database) -> None:
    async with database.transaction() as session:
        await operations.recover(session, limit=1000)


async def work_off(database: Database, channels: Channels) -> None:
    """Send until no message is open."""

    async def drained() -> bool:
        await send(database, channels)
        await recover(database)
        async with database.reading() as session:
            return await operations.count_open(session) == 0

    await eventually(drained)


async def states(database: Database) -> dict[str, int]:
    async with database.reading() as session:
        summary = await operations.summarise(session)
    counts: dict[str, int] = summary["messages"]
    return counts


async def said(database: Database) -> list[tuple[str, str | None]]:
    async with database.reading() as session:
        return [(kind, payload.get("reason")) for kind, _, payload in await emitted(session)]


async def test_welcome_reaches_the_sink(messaging_database: Database, channels: Channels, sink: Sink) -> None:
    (ana,) = await welcome(messaging_database)
    assert await send(messaging_database, channels) == 1
    (mail,) = sink.mails
    assert mail["To"] == f"{ana}@example.test"
    assert mail["Subject"] == "Regulars: welcome to Gold, Ana"
    assert mail["From"] == "Regulars <hello@regulars.example.test>"
    assert mail["Date"]
    assert mail["List-Unsubscribe"] is None
    plain, html = mail.iter_parts()  # type: ignore[attr-defined]  # the policy makes it an EmailMessage
    assert "As a gold member" in plain.get_content()
    assert "<strong>Gold</strong>" in html.get_content()
    assert await states(messaging_database) == {"accepted": 1}
    assert await said(messaging_database) == [("message.sent", None)]
    async with messaging_database.reading() as session:
        (_, _, payload), *_ = await emitted(session)
    assert "@example" not in str(payload)


async def test_connections_are_reused(messaging_database: Database, channels: Channels, sink: Sink) -> None:
    await welcome(messaging_database, 60)
    await work_off(messaging_database, channels)
    assert len(sink.mails) == 60
    assert max(sink.message_ids.values()) == 1
    assert sink.connections <= 4
