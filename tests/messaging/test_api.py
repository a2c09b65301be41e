"""The API: content, triggers, webhooks, the ledger, and the pages behind unsubscribe links."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.messaging import operations
from services.messaging.app import service
from services.messaging.handlers import handlers
from services.messaging.settings import MessagingSettings
from shared.database import Database
from shared.settings import DEVELOPMENT_KEY
from shared.testing import api_client
from tests.messaging.people import consent, envelope, member, profile, upgrade

SEEDED_TEMPLATES = ["tier_at_risk", "tier_prolonged", "tier_retained", "tier_welcome", "win_back"]
SEEDED_TRIGGERS = ["tier_welcome", "tier_at_risk", "tier_retained", "tier_prolonged"]
TEMPLATE = {
    "subject": "Hello {{ member.display_name }}",
    "text": "You are {{ event.to_tier }}.",
    "html": "<p>{{ event.to_tier }}</p>",
    "variables": {"member.display_name": {"default": "you"}},
}
TRIGGER = {
    "name": "gold",
    "event": "member.tier_upgraded",
    "condition": {"field": "event.to_tier", "op": "eq", "value": "gold"},
    "template": "tier_welcome",
    "channel": "log",
    "purpose": "service",
}


@pytest.fixture
async def api(
    messaging_database: Database, configured: Callable[..., MessagingSettings]
) -> AsyncIterator[httpx.AsyncClient]:
    """A caller with the development key, of a service that only answers."""
    settings = configured(database_url=messaging_database.url, role="api", webhooks_max=2)
    async with api_client(service.application(settings), key=DEVELOPMENT_KEY) as client:
        yield client


async def test_template_is_published_in_versions(api: httpx.AsyncClient) -> None:
    first = await api.put("/v1/templates/offer", json=TEMPLATE)
    again = await api.put("/v1/templates/offer", json=TEMPLATE)
    second = await api.put("/v1/templates/offer", json=TEMPLATE | {"text": "New"})
    assert (first.status_code, again.status_code, second.status_code) == (201, 200, 201)
    assert [answer.json()["version"] for answer in (first, again, second)] == [1, 1, 2]
    old = await api.get("/v1/templates/offer", params={"version": 1})
    assert old.json()["text"] == TEMPLATE["text"]
    listed = (await api.get("/v1/templates", params={"limit": 1})).json()
    rest = (await api.get("/v1/templates", params={"cursor": listed["next_cursor"]})).json()
    assert [item["name"] for item in listed["items"] + rest["items"]] == ["offer", *SEEDED_TEMPLATES]


async def test_preview(api: httpx.AsyncClient, messaging_database: Database) -> None:
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(profile(member(1), display_name="Béa"))])
    values = {"event": {"to_tier": "<gold>"}}
    path = "/v1/templates/tier_welcome/preview"
    shown = await api.post(path, json={"variables": values, "member_id": str(member(1))})
    assert shown.status_code == 200
    assert shown.json()["subject"] == "Regulars: welcome to <gold>, Béa"
    assert "&lt;gold&gt;" in shown.json()["html"]
    missing = await api.post(path, json={})
    assert (missing.status_code, missing.json()["code"]) == (422, "template_rendering_failed")
    nobody = await api.post(path, json={"member_id": str(member(2))})
    assert (nobody.status_code, nobody.json()["code"]) == (404, "member_unknown")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"text": "{% if %}"}, "invalid_template"),
        ({"text": "{{ nobody.name }}"}, "invalid_template"),
        ({"text": "x" * 100_001}, "invalid_request"),
        ({"text": "\x00"}, "invalid_request"),
        ({"colour": "red"}, "invalid_request"),
    ],
)
async def test_template_that_cannot_be(api: httpx.AsyncClient, change: dict[str, Any], code: str) -> None:
    answer = await api.put("/v1/templates/bad", json=TEMPLATE | change)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await api.get("/v1/templates/bad")).json()["code"] == "template_not_found"


async def test_triggers_are_replaced_as_a_list(api: httpx.AsyncClient, messaging_database: Database) -> None:
    assert [item["name"] for item in (await api.get("/v1/triggers")).json()["items"]] == SEEDED_TRIGGERS
    put = await api.put("/v1/triggers", json=[TRIGGER])
    assert put.status_code == 200, put.text
    assert [item["name"] for item in put.json()["items"]] == ["gold"]
    enabled_from = put.json()["items"][0]["enabled_from"]
    kept = await api.put("/v1/triggers", json=[TRIGGER | {"condition": None}])
    assert kept.json()["items"][0]["enabled_from"] == enabled_from
    # An event of the time before does not count.
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(upgrade(member(1)))])
        assert await operations.count_open(session) == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"event": "member.profile"}, "unknown_event_for_trigger"),
        ({"event": "activity.ended"}, "unknown_event_for_trigger"),
        ({"condition": {"field": "event.nothing", "op": "exists"}}, "invalid_condition"),
        ({"condition": {"field": "event.to_tier", "op": "gt", "value": 3}}, "invalid_condition"),
        ({"occurrence": "event.nothing"}, "unknown_event_for_trigger"),
        ({"template": "nothing"}, "template_not_found"),
        ({"channel": "webhook"}, "webhook_required"),
        ({"channel": "webhook", "webhook_id": str(member(1))}, "webhook_not_found"),
        ({"purpose": "fun"}, "invalid_request"),
    ],
)
async def test_trigger_that_cannot_work(api: httpx.AsyncClient, change: dict[str, Any], code: str) -> None:
    answer = await api.put("/v1/triggers", json=[TRIGGER | change])
    assert answer.json()["code"] == code
    assert [item["name"] for item in (await api.get("/v1/triggers")).json()["items"]] == SEEDED_TRIGGERS


async def test_two_triggers_of_one_name(api: httpx.AsyncClient) -> None:
    answer = await api.put("/v1/triggers", json=[TRIGGER, TRIGGER])
    assert (answer.status_code, answer.json()["code"]) == (409, "trigger_name_taken")


async def test_webhooks(api: httpx.AsyncClient) -> None:
    body = {"url": "https://shop.example.com/hook", "event_types": ["order.paid", "order.paid"]}
    made = await api.post("/v1/webhooks", json=body)
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    assert made.json()["event_types"] == ["order.paid"]
    identity = made.json()["id"]
    (listed,) = (await api.get("/v1/webhooks")).json()["items"]
    assert "secret" not in listed
    assert (await api.get(f"/v1/webhooks/{identity}/deliveries")).json()["items"] == []
    used = TRIGGER | {"channel": "webhook", "webhook_id": identity}
    assert (await api.put("/v1/triggers", json=[used])).status_code == 200
    assert (await api.delete(f"/v1/webhooks/{identity}")).json()["code"] == "webhook_in_use"
    second = await api.post("/v1/webhooks", json=body)
    assert (await api.post("/v1/webhooks", json=body)).json()["code"] == "too_many_webhooks"
    assert (await api.delete(f"/v1/webhooks/{second.json()['id']}")).status_code == 204
    assert (await api.delete(f"/v1/webhooks/{second.json()['id']}")).json()["code"] == "webhook_not_found"
    private = await api.post("/v1/webhooks", json={"url": "https://10.0.0.1/"})
    assert (private.status_code, private.json()["code"]) == (422, "webhook_not_allowed")


async def test_ledger_says_what_became_of_messages(
    api: httpx.AsyncClient, messaging_database: Database
) -> None:
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(profile(member(1)))])
        await handlers.dispatch(session, [envelope(upgrade(member(n))) for n in (1, 1, 2)])
    first = (await api.get("/v1/messages", params={"limit": 2})).json()
    rest = (await api.get("/v1/messages", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert len({item["id"] for item in first["items"] + rest["items"]}) == 3
    held = (await api.get("/v1/messages", params={"state": "held"})).json()["items"]
    assert [item["member_id"] for item in held] == [str(member(2))]
    mine = (await api.get("/v1/messages", params={"member_id": str(member(1))})).json()["items"]
    one = (await api.get(f"/v1/messages/{mine[0]['id']}")).json()
    assert [verdict["reason"] for verdict in one["verdicts"]] == ["service_allowed"]
    assert (await api.get(f"/v1/messages/{member(5)}")).json()["code"] == "message_not_found"
    assert (await api.get("/v1/messages", params={"cursor": "x"})).json()["code"] == "invalid_cursor"
    summary = (await api.get("/v1/summary")).json()
    assert summary["messages"] == {"queued": 2, "held": 1}
    assert summary["by_trigger"] == {"tier_welcome": {"queued": 2, "held": 1}}
    assert summary["contacts"] == 1


async def test_suppressed_address_gets_nothing(api: httpx.AsyncClient, messaging_database: Database) -> None:
    address = {"channel": "email", "address": f"{member(1)}@EXAMPLE.test"}
    assert (await api.post("/v1/suppressions", json=address)).status_code == 204
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(profile(member(1)))])
        await handlers.dispatch(session, [envelope(upgrade(member(1)))])
    assert (await api.get("/v1/summary")).json()["messages"] == {"dropped": 1}
    assert (await api.post("/v1/suppressions/lift", json=address)).status_code == 204
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(upgrade(member(1), "platinum"))])
    assert (await api.get("/v1/summary")).json()["messages"] == {"dropped": 1, "queued": 1}
    bad = await api.post("/v1/suppressions", json={"channel": "email", "address": "no address"})
    assert bad.json()["code"] == "invalid_address"


async def test_unsubscribing_needs_a_post(api: httpx.AsyncClient, messaging_database: Database) -> None:
    async with messaging_database.transaction() as session:
        await handlers.dispatch(session, [envelope(profile(member(1), consents=[consent(True)]))])
    path = httpx.URL(operations.unsubscribe_url(member(1), "email", "marketing")).path

    async def consents() -> int:
        count: int = (await api.get("/v1/summary")).json()["consents"]
        return count

    no_key = {"Authorization": ""}
    shown = await api.get(path, headers=no_key)
    assert shown.status_code == 200
    assert '<form method="post">' in shown.text
    assert await consents() == 1
    for _ in range(2):
        done = await api.post(path, data={"List-Unsubscribe": "One-Click"}, headers=no_key)
        assert done.status_code == 200
    assert await consents() == 0
    async with messaging_database.reading() as session:
        said = await session.scalars(text("SELECT payload FROM outbox WHERE type = 'consent.withdrawn'"))
        (payload,) = said.all()
    assert json.loads(payload)["source"] == "one_click"
    forged = path[:-2] + ("AA" if not path.endswith("AA") else "BB")
    assert (await api.get(forged)).status_code == 404
    assert (await api.post(forged)).status_code == 404


async def test_keys_and_scopes(api: httpx.AsyncClient) -> None:
    stranger = await api.get("/v1/summary", headers={"Authorization": "Bearer rk_wrong_" + "x" * 43})
    assert stranger.status_code == 401
    malformed = await api.put("/v1/triggers", content="[", headers={"Content-Type": "application/json"})
    assert (malformed.status_code, malformed.json()["code"]) == (400, "malformed_json")


async def test_the_api_is_documented(api: httpx.AsyncClient) -> None:
    schema = (await api.get("/openapi.json")).json()
    assert "invalid_template" in json.dumps(schema["paths"]["/v1/templates/{name}"]["put"]["responses"])
