"""Messages on their way out: a real ledger, a real mail server, and everything that it may answer."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.messaging import operations
from services.messaging.channels import Channels
from services.messaging.domain import Outcome, OutcomeKind
from services.messaging.handlers import handlers
from services.messaging.jobs.dispatch import dispatch
from services.messaging.settings import settings
from shared.clock import utc_now
from shared.database import Database
from shared.events import (
    ContactPoint,
    Envelope,
    MemberStageChanged,
    MemberTierAtRisk,
    MemberTierProlonged,
    MemberTierRetained,
)
from shared.testing import eventually
from tests.fixtures.services import emitted
from tests.messaging.people import consent, envelope, member, profile, upgrade
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


@pytest.mark.parametrize("answer", ["451 4.3.0 try later", "454 4.7.0 not now", "disconnect before"])
async def test_put_off_and_sent_in_the_end(
    messaging_database: Database, channels: Channels, sink: Sink, answer: str
) -> None:
    turned_away: set[str] = set()

    def refuse_once(address: str) -> str | None:
        if address in turned_away:
            return None
        turned_away.add(address)
        return answer

    sink.data_answer = refuse_once
    await welcome(messaging_database, 5)
    await work_off(messaging_database, channels)
    assert await states(messaging_database) == {"accepted": 5}
    assert {mail["To"] for mail in sink.mails} == turned_away


async def test_recipient_refused_fails_and_is_left_alone(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    (ana,) = await welcome(messaging_database)
    sink.rcpt_answer = lambda address: "550 5.1.1 no such user"
    await work_off(messaging_database, channels)
    await hear(messaging_database, envelope(upgrade(ana, "platinum")))
    assert await said(messaging_database) == [
        ("message.failed", "smtp_550"),
        ("message.dropped", "suppressed_bad_address"),
    ]


async def test_one_poison_recipient_does_not_hold_up_the_rest(
    messaging_database: Database, channels: Channels, sink: Sink, configured: Any
) -> None:
    configured(message_max_attempts=3, retry_base_seconds=0.01, retry_cap_seconds=0.02)
    people = await welcome(messaging_database, 20)
    sink.rcpt_answer = lambda address: "450 busy" if address.startswith(str(people[7])) else None
    await work_off(messaging_database, channels)
    assert await states(messaging_database) == {"accepted": 19, "failed": 1}
    assert max(sink.message_ids.values()) == 1


async def test_connection_lost_after_the_content_repeats_the_same_message_id(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    answers = iter(["disconnect after"])
    sink.data_answer = lambda address: next(answers, None)
    await welcome(messaging_database)
    await work_off(messaging_database, channels)
    assert await states(messaging_database) == {"accepted": 1}
    assert list(sink.message_ids.values()) == [2]


async def test_members_are_told_of_the_fate_of_their_tier(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    ana, now = member(1), utc_now()
    falls_at = datetime(2026, 12, 31, 23, tzinfo=UTC)
    risk = {"member_id": ana, "tier": "silver", "falls_at": falls_at, "announced_at": now}
    news = [
        MemberTierAtRisk(reason="refund", **risk),
        MemberTierAtRisk(reason="period_end", to_tier="bronze", **risk),
        MemberTierRetained(member_id=ana, tier="silver", retained_at=now, until=falls_at),
        MemberTierProlonged(member_id=ana, tier="silver", prolonged_at=now, reason="earned"),
    ]
    await hear(messaging_database, envelope(profile(ana, time_zone="Europe/Paris")))
    for each in news:
        event = envelope(each, time=now)
        await hear(messaging_database, event)
        await hear(messaging_database, event)
    await work_off(messaging_database, channels)
    assert await states(messaging_database) == {"accepted": 4}
    texts = [next(mail.iter_parts()).get_content() for mail in sink.mails]  # type: ignore[attr-defined]  # as above
    refunded, over, retained, prolonged = (
        next(text for text in texts if part in text)
        for part in ("After a refund", "of the last period", "latest orders", "new period")
    )
    assert "until 1 January 2027" in refunded
    assert "go on as" not in refunded
    assert "go on as Bronze" in over
    assert "the tier Silver until 1 January 2027." in retained
    assert "tier Silver has begun." in prolonged
    assert len({mail["Subject"] for mail in sink.mails}) == 3


async def test_whom_a_stage_loses_is_won_back_if_they_agreed(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    trigger = {
        "name": "win_back",
        "event": "member.stage_changed",
        "condition": {
            "all": [
                {"field": "event.to_stage", "op": "in", "value": ["decline", "lost"]},
                {"field": "event.reason", "op": "eq", "value": "recency"},
            ]
        },
        "template": "win_back",
        "channel": "email",
        "purpose": "marketing",
        "occurrence": None,
        "webhook_id": None,
    }
    async with messaging_database.transaction() as session:
        (row,) = await operations.replace_triggers(session, [trigger])
    now = row.enabled_from
    assert now is not None
    for number, (agreed, stage) in enumerate([(True, "decline"), (True, "recovered"), (False, "lost")]):
        person = member(number)
        change = MemberStageChanged(
            member_id=person,
            from_stage="stability",
            to_stage=stage,
            changed_at=now,
            judged_at=now,
            reason="recency",
            purchases=7,
            recency_days=64,
            expected_interval_days=31,
        )
        await hear(messaging_database, envelope(profile(person, consents=[consent(agreed)])))
        await hear(messaging_database, envelope(change, time=now))
    await work_off(messaging_database, channels)
    (mail,) = sink.mails
    assert mail["To"] == f"{member(0)}@example.test"
    plain = next(mail.iter_parts()).get_content()  # type: ignore[attr-defined]  # as above
    assert "64 days" in plain
    assert mail["List-Unsubscribe"].strip("<>") in plain
    assert await states(messaging_database) == {"accepted": 1, "dropped": 1}


async def marketing(database: Database, person: UUID) -> None:
    """A consenting member and a marketing message for them."""
    trigger = {
        "name": "offer",
        "event": "member.tier_upgraded",
        "condition": {"field": "event.to_tier", "op": "in", "value": ["gold", "silver"]},
        "template": "tier_welcome",
        "channel": "email",
        "purpose": "marketing",
        "occurrence": "event.to_tier",
        "webhook_id": None,
    }
    async with database.transaction() as session:
        (row,) = await operations.replace_triggers(session, [trigger])
    now = row.enabled_from
    assert now is not None
    await hear(database, envelope(profile(person, consents=[consent(True)])))
    await hear(database, envelope(upgrade(person, "bronze"), time=now))
    await hear(database, envelope(upgrade(person, "gold"), time=now))
    # The trigger's occurrence is the tier, so a second upgrade to it is no second occasion.
    await hear(database, envelope(upgrade(person, "gold"), time=now))


async def test_marketing_of_unknown_fate_is_not_sent_again(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    sink.data_answer = lambda address: "disconnect after"
    await marketing(messaging_database, member(1))
    await work_off(messaging_database, channels)
    assert await states(messaging_database) == {"unknown": 1}
    assert list(sink.message_ids.values()) == [1]


async def test_marketing_can_be_unsubscribed_with_one_click(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    await marketing(messaging_database, member(1))
    await work_off(messaging_database, channels)
    (mail,) = sink.mails
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = mail["List-Unsubscribe"].strip("<>")
    about = operations.read_token(url.rpartition("/")[2])
    assert (about.member_id, about.channel, about.purpose) == (member(1), "email", "marketing")


async def test_gate_runs_again_right_before_sending(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    await marketing(messaging_database, member(1))
    url = operations.unsubscribe_url(member(1), "email", "marketing")
    async with messaging_database.transaction() as session:
        token = operations.read_token(url.rpartition("/")[2])
        assert await operations.unsubscribe(session, token)
        assert not await operations.unsubscribe(session, token)
    await work_off(messaging_database, channels)
    assert sink.mails == []
    assert await said(messaging_database) == [
        ("consent.withdrawn", None),
        ("message.dropped", "consent_withdrawn"),
    ]


async def test_relay_away_costs_no_attempts(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    await welcome(messaging_database, 10)
    sink.stop()

    async def tried() -> bool:
        await send(messaging_database, channels)
        async with messaging_database.reading() as session:
            reasons = await session.scalars(text("SELECT DISTINCT reason FROM messages"))
            return "smtp_unreachable" in reasons.all()

    await eventually(tried)
    assert await states(messaging_database) == {"queued": 10}
    async with messaging_database.reading() as session:
        assert await session.scalar(text("SELECT max(attempts) FROM messages")) == 0
    sink.start()
    await work_off(messaging_database, channels)
    assert await states(messaging_database) == {"accepted": 10}


async def test_messages_of_a_dead_dispatcher(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    """Claimed ones go back untouched; of submitted ones the service message goes out again."""
    await welcome(messaging_database, 2)
    channel = channels["email"]
    async with messaging_database.transaction() as session:
        ready, _ = await operations.claim(session, channel, limit=10)
    async with messaging_database.transaction() as session:
        submitted = await operations.submit(session, ready[:1])
        assert len(submitted) == 1
    async with messaging_database.transaction() as session:
        await session.execute(text("UPDATE messages SET lease_until = clock_timestamp()"))
    # The lease is over, so the dead dispatcher, should it wake up, may not begin anything.
    async with messaging_database.transaction() as session:
        assert await operations.submit(session, ready[1:]) == []
    await recover(messaging_database)
    await work_off(messaging_database, channels)
    assert await states(messaging_database) == {"accepted": 2}
    # Nor can it settle what is another's by now.
    async with messaging_database.transaction() as session:
        await operations.settle_attempts(session, [(ready[0], Outcome(OutcomeKind.REFUSED, "late"))])
    assert await states(messaging_database) == {"accepted": 2}


async def test_two_dispatchers_share_the_work(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    await welcome(messaging_database, 40)
    await asyncio.gather(*(send(messaging_database, channels) for _ in range(4)))
    await work_off(messaging_database, channels)
    assert len(sink.mails) == 40
    assert set(sink.message_ids.values()) == {1}


async def test_hostile_member_data_stays_inside_its_place(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    ana = member(1)
    name = "<script>x</script>\r\nBcc: all@example.test {{ shop.name }} 😀 \u202e"
    await hear(messaging_database, envelope(profile(ana, display_name=name)))
    await hear(messaging_database, envelope(upgrade(ana)))
    await work_off(messaging_database, channels)
    (mail,) = sink.mails
    assert mail["Bcc"] is None
    assert "😀" in mail["Subject"]
    plain, html = mail.iter_parts()  # type: ignore[attr-defined]  # the policy makes it an EmailMessage
    assert "<script>" not in html.get_content()
    assert "&lt;script&gt;" in html.get_content()
    assert "{{ shop.name }}" in plain.get_content()


async def test_address_that_would_break_the_protocol_is_refused(
    messaging_database: Database, channels: Channels, sink: Sink
) -> None:
    bad = ContactPoint(channel="email", address="a@example.test>\r\nRCPT TO:<b@example.test")
    await hear(messaging_database, envelope(profile(member(1), contact_points=[bad])))
    await hear(messaging_database, envelope(upgrade(member(1))))
    await work_off(messaging_database, channels)
    assert sink.mails == []
    assert await said(messaging_database) == [("message.failed", "invalid_address")]
