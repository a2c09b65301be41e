"""Rule sets over the API: drafts, activation, immutability, and the end of a version."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.points.app import service
from services.points.schemas.rules import EXAMPLE
from services.points.settings import PointsSettings
from shared.database import Database
from shared.testing import api_client
from tests.fixtures.moment import now


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def draft(client: httpx.AsyncClient, **terms: Any) -> int:
    body = {"terms": {"base": {"points": 1}} | terms}
    answer = await client.post("/v1/rules/earning/drafts", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["version"])


async def test_from_draft_to_active_to_ended(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/rules/earning/drafts", json=EXAMPLE)
    assert (answer.status_code, answer.json()["status"]) == (201, "draft")
    version = answer.json()["version"]
    rules = (await client.get("/v1/rules/earning")).json()
    assert rules["current"]["version"] == 1
    assert [rule["version"] for rule in rules["drafts"]] == [version]
    changed = EXAMPLE | {"name": "Winter"}
    answer = await client.put(f"/v1/rules/earning/{version}", json=changed)
    assert answer.json()["name"] == "Winter"
    answer = await client.post(f"/v1/rules/earning/{version}/activate", json={})
    assert (answer.status_code, answer.json()["status"]) == (200, "active")
    assert answer.json()["terms"] == EXAMPLE["terms"]
    for again in (
        await client.put(f"/v1/rules/earning/{version}", json=changed),
        await client.post(f"/v1/rules/earning/{version}/activate", json={}),
    ):
        assert (again.status_code, again.json()["code"]) == (409, "rule_is_active")
    assert (await client.get("/v1/rules/earning")).json()["current"]["version"] == version
    answer = await client.delete(f"/v1/rules/earning/{version}")
    assert answer.json()["status"] == "ended"
    assert (await client.get("/v1/rules/earning")).json()["current"]["version"] == 1
    assert (await client.get(f"/v1/rules/earning/{version}")).json()["status"] == "ended"
    assert (await client.delete("/v1/rules/earning/1")).json()["code"] == "rule_required"


async def test_a_deleted_draft_is_gone(client: httpx.AsyncClient) -> None:
    version = await draft(client)
    assert (await client.delete(f"/v1/rules/earning/{version}")).status_code == 200
    answer = await client.get(f"/v1/rules/earning/{version}")
    assert (answer.status_code, answer.json()["code"]) == (404, "rule_not_found")


async def test_a_version_takes_effect_after_all_others_and_never_in_the_past(
    client: httpx.AsyncClient,
) -> None:
    first, second = await draft(client), await draft(client)
    later = (now() + timedelta(days=3)).isoformat()
    answer = await client.post(f"/v1/rules/earning/{first}/activate", json={"effective_at": later})
    assert answer.status_code == 200
    for moment in ("2020-01-01T00:00:00Z", later, None):
        answer = await client.post(f"/v1/rules/earning/{second}/activate", json={"effective_at": moment})
        assert (answer.status_code, answer.json()["code"]) == (409, "rule_in_the_past")


async def test_a_version_that_is_ended_before_it_began_is_in_nobodys_way(client: httpx.AsyncClient) -> None:
    later = (now() + timedelta(days=3)).isoformat()
    for effective_at in (later, later, None):
        version = await draft(client)
        where = f"/v1/rules/earning/{version}"
        answer = await client.post(f"{where}/activate", json={"effective_at": effective_at})
        assert answer.status_code == 200, answer.text
        assert (await client.delete(where)).json()["status"] == "ended"
    shown = (await client.get("/v1/rules/earning")).json()
    assert (shown["current"]["version"], len(shown["versions"])) == (1, 4)


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"exclude": {"field": "line.colour", "op": "eq", "value": 1}}, "invalid_rule_set"),
        ({"caps": [{"per": "day", "points": 1}, {"per": "day", "points": 2}]}, "invalid_rule_set"),
        ({"base": {"points": -1}}, "invalid_request"),
        ({"base": {"points": 1, "per_units": "0"}}, "invalid_request"),
        ({"base": {"points": 1, "per_units": 0.1}}, "invalid_request"),
        ({"zone": "Mars/Olympus"}, "invalid_request"),
        ({"expiry": "tomorrow"}, "invalid_request"),
        ({"currency": "XXX"}, "invalid_request"),
        ({"exchange_rates": {"EUR": "-1"}}, "invalid_request"),
        ({"rounding": "up"}, "invalid_request"),
    ],
)
async def test_a_rule_set_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, terms: dict[str, Any], code: str
) -> None:
    answer = await client.post("/v1/rules/earning/drafts", json={"terms": terms})
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    if code == "invalid_rule_set":
        assert answer.json()["pointer"].startswith("/")
