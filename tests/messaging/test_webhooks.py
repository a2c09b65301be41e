"""Webhooks: signed so that anybody can check, to public addresses only, again and again but not for ever."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import standardwebhooks
from sqlalchemy import text

from services.messaging import operations
from services.messaging.channels import AddressRefused, Channels, Endpoint, check_url, new_secret
from services.messaging.channels.webhook import WebhookCaller
from services.messaging.domain import OutcomeKind
from services.messaging.errors import InvalidWebhookSecret, UnknownEventForWebhook, WebhookNotAllowed
from services.messaging.handlers import handlers
from services.messaging.jobs.dispatch import deliver, dispatch
from services.messaging.repository.webhooks import WebhookRow
from services.messaging.settings import MessagingSettings, settings
from shared.database import Database
from shared.problems import Refusal
from shared.testing import eventually
from tests.messaging.people import envelope, member, profile, upgrade
from tests.messaging.receiver import Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A server that takes webhooks."""
    async with Receiver().serving() as running:
        yield running


async def register(database: Database, url: str, *event_types: str) -> WebhookRow:
    async with database.transaction() as session:
        row = await operations.register_webhook(session, url, None, event_types)
        # Only events stated from now on are heard, and those of the tests are of a fixed time.
        await session.execute(text("UPDATE webhooks SET created_at = 'epoch'"))
        return row


async def deliver_all(database: Database, channels: Channels) -> None:
    async def drained() -> bool:
        await deliver(database, channels, settings())
        async with database.transaction() as session:
            await operations.recover_deliveries(session, limit=100)
            return await operations.count_open_deliveries(session) == 0

    await eventually(drained)


async def deliveries(database: Database) -> list[tuple[str, str | None, int]]:
    async with database.reading() as session:
        rows = await session.execute(
            text("SELECT state, reason, attempts FROM webhook_deliveries ORDER BY created_at, id")
        )
        return [(row.state, row.reason, row.attempts) for row in rows]


async def test_event_is_told_once_and_signed(
    messaging_database: Database, channels: Channels, receiver: Receiver
) -> None:
    hook = await register(messaging_database, receiver.url, "member.tier_upgraded")
    event = envelope(upgrade(member(1)))
    for _ in range(2):
        async with messaging_database.transaction() as session:
            await handlers.dispatch(session, [event, event])
    await deliver_all(messaging_database, channels)
    ((headers, body),) = receiver.taken
    document = standardwebhooks.Webhook(hook.secret).verify(body, headers)
    assert document["type"] == "member.tier_upgraded"
    assert document["data"]["member_id"] == str(member(1))
    assert await deliveries(messaging_database) == [("delivered", "http_204", 1)]


async def test_failures_are_retried_with_the_same_id(
    messaging_database: Database, channels: Channels, receiver: Receiver, configured: Any
) -> None:
    configured(webhook_retry_base_seconds=0.01, webhook_retry_cap_seconds=0.02)
    answers = iter([500, 302, 429])
    receiver.answer = lambda: next(answers, 200)
    await register(messaging_database, receiver.url, "member.tier_upgraded")
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(upgrade(member(1)))])
    await deliver_all(messaging_database, channels)
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1
    assert [path for path in receiver.paths if path != "/hook"] == []
    assert await deliveries(messaging_database) == [("delivered", "http_200", 4)]


@pytest.mark.parametrize(("status", "most", "reason"), [(410, 100, "gone"), (500, 3, "failing")])
async def test_webhook_that_keeps_failing_is_switched_off(
    messaging_database: Database,
    channels: Channels,
    receiver: Receiver,
    configured: Any,
    status: int,
    most: int,
    reason: str,
) -> None:
    configured(
        webhook_retry_base_seconds=0.01,
        webhook_retry_cap_seconds=0.02,
        webhook_disable_after_failures=most,
    )
    receiver.answer = lambda: status
    hook = await register(messaging_database, receiver.url, "member.tier_upgraded")
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(upgrade(member(1)))])
    await deliver_all(messaging_database, channels)
    async with messaging_database.transaction() as session:
        assert await session.scalar(text("SELECT disabled_reason FROM webhooks")) == reason
        # It hears nothing while it is off, and hears again when it is on.
        await handlers.dispatch(session, [envelope(upgrade(member(2)))])
        assert len(await deliveries(messaging_database)) == 1
        assert (await operations.reopen_webhook(session, hook.id)).disabled_at is None


async def test_delivery_of_a_dead_dispatcher_is_made(
    messaging_database: Database, channels: Channels, receiver: Receiver
) -> None:
    await register(messaging_database, receiver.url, "member.tier_upgraded")
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(upgrade(member(1)))])
    async with messaging_database.transaction() as session:
        assert len(await operations.claim_deliveries(session, limit=10)) == 1
        await session.execute(text("UPDATE webhook_deliveries SET lease_until = clock_timestamp()"))
    await deliver_all(messaging_database, channels)
    assert len(receiver.taken) == 1


async def test_message_over_the_webhook_channel(
    messaging_database: Database, channels: Channels, receiver: Receiver
) -> None:
    hook = await register(messaging_database, receiver.url)
    async with messaging_database.transaction() as session:
        trigger = {
            "name": "room",
            "event": "member.tier_upgraded",
            "condition": None,
            "template": "tier_welcome",
            "channel": "webhook",
            "purpose": "service",
            "occurrence": None,
            "webhook_id": hook.id,
        }
        await operations.replace_triggers(session, [trigger])
        await session.execute(text("UPDATE triggers SET enabled_from = 'epoch' WHERE name = 'room'"))
        await handlers.dispatch(
            session, [envelope(profile(member(1), contact_points=[])), envelope(upgrade(member(1)))]
        )
    assert await dispatch(messaging_database, channels, "webhook", settings()) == 1
    ((headers, body),) = receiver.taken
    document = standardwebhooks.Webhook(hook.secret).verify(body, headers)
    assert document["data"]["text"].startswith("Hello Ana")
    async with messaging_database.reading() as session:
        assert (await operations.summarise(session))["messages"] == {"delivered": 1}


@pytest.mark.parametrize(
    ("url", "secret", "event_types", "refusal"),
    [
        ("http://shop.example.com/", None, [], WebhookNotAllowed),
        ("https://127.0.0.1/", None, [], WebhookNotAllowed),
        ("https://ok.example.com/", "whsec_short", [], InvalidWebhookSecret),
        ("https://ok.example.com/", None, ["no.such"], UnknownEventForWebhook),
        ("https://ok.example.com/", None, ["member.profile"], UnknownEventForWebhook),
    ],
)
async def test_webhook_that_cannot_be(
    messaging_database: Database,
    configured: Any,
    url: str,
    secret: str | None,
    event_types: list[str],
    refusal: type[Refusal],
) -> None:
    configured()
    async with messaging_database.transaction() as session:
        with pytest.raises(refusal):
            await operations.register_webhook(session, url, secret, event_types)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com/",
        "ftp://shop.example.com/",
        "https:///path",
        "https://user:secret@shop.example.com/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://shop.example.com/\r\nHost: x",
        "https://shop.example.com:99999/",
        "https://" + "a" * 2000,
    ],
)
def test_addresses_that_no_webhook_may_go_to(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_url(url, allow_private=False)


async def test_name_that_resolves_to_a_private_address_is_not_called(
    receiver: Receiver, configured: Callable[..., MessagingSettings]
) -> None:
    caller = WebhookCaller(configured(webhook_timeout_seconds=5))
    try:
        url = f"https://localhost:{receiver.port}/hook"
        outcome = await caller.call(Endpoint(url, new_secret()), "id", "{}")
    finally:
        await caller.close()
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, "address_not_allowed")
    assert receiver.paths == []
