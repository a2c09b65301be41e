"""Tiers and stages over HTTP: the table and its preview, where a member stands, locks, strategies."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.members.app import service
from services.members.settings import MembersSettings
from shared.clock import utc_now
from shared.database import Database
from shared.ids import new_id
from shared.testing import api_client
from tests.members.shop import order

PROGRAM: dict[str, Any] = {
    "tiers": [
        {"name": "bronze", "rank": 0, "min_spend_minor": 0},
        {
            "name": "gold",
            "rank": 5,
            "min_spend_minor": 50_000,
            "min_orders": 3,
            "benefits": {"points_multiplier_percent": 150, "free_shipping": True},
        },
    ],
    "window": {"kind": "rolling_months", "count": 12},
    "period": {"kind": "months", "count": 12},
    "downgrade": "one_level",
    "grace_days": 30,
    "refund_grace_days": 14,
    "floor": "bronze",
}


@pytest.fixture
async def client(members_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = MembersSettings(database_url=members_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


def recent(number: int, total_minor: int, days: float = 1) -> dict[str, Any]:
    return order(number, total_minor=total_minor, placed_at=(utc_now() - timedelta(days=days)).isoformat())


async def test_a_program_is_shown_before_it_holds_and_then_as_it_was_said(client: httpx.AsyncClient) -> None:
    await client.post("/v1/orders", json=recent(1, 60_000))
    rehearsed = (await client.put("/v1/tiers", params={"dry_run": "true"}, json=PROGRAM)).json()
    assert rehearsed["members_up"] == rehearsed["members_down"] == 0
    stricter = PROGRAM | {
        "tiers": [PROGRAM["tiers"][0], {"name": "club", "rank": 9, "min_spend_minor": 90_000}]
    }
    rehearsed = (await client.put("/v1/tiers", params={"dry_run": "true"}, json=stricter)).json()
    assert (rehearsed["members_down"], rehearsed["moves"]) == (
        1,
        [{"from_tier": "gold", "to_tier": "bronze", "members": 1}],
    )
    page = (await client.post("/v1/tiers/preview", json=stricter)).json()
    assert [(item["from_tier"], item["to_tier"], item["is_up"]) for item in page["items"]] == [
        ("gold", "bronze", False)
    ]
    assert page["next_cursor"] is None
    answer = await client.put("/v1/tiers", json=PROGRAM)
    assert answer.status_code == 200, answer.text
    shown = (await client.get("/v1/tiers")).json()
    assert {name: shown[name] for name in ("window", "period", "downgrade", "grace_days", "floor")} == {
        name: PROGRAM[name] for name in ("window", "period", "downgrade", "grace_days", "floor")
    }
    assert shown["tiers"][1]["benefits"] == PROGRAM["tiers"][1]["benefits"]
    # A list of tiers alone keeps window and rules.
    assert (await client.put("/v1/tiers", json=PROGRAM["tiers"])).json()["window"] == PROGRAM["window"]


@pytest.mark.parametrize(
    "change",
    [
        {"window": {"kind": "rolling_months"}},
        {"window": {"kind": "calendar_year", "count": 2}},
        {"window": {"kind": "rolling_months", "count": 121}},
        {"period": {"kind": "months"}},
        {"period": {"kind": "none", "count": 1}},
        {"downgrade": "gently"},
        {"grace_days": -1},
        {"floor": "diamond"},
        {"tiers": []},
        {"tiers": [PROGRAM["tiers"][0], PROGRAM["tiers"][0]]},
        {"tiers": [{"name": "x", "rank": 0, "benefits": {"points_multiplier_percent": 50}}]},
        {"tiers": [{"name": "x", "rank": 0, "benefits": {"free_beer": True}}]},
        {"tiers": [{"name": "a", "rank": 0, "min_orders": 5}, {"name": "b", "rank": 1, "min_orders": 4}]},
        {"surprise": 1},
    ],
)
async def test_a_program_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    for path, method in (("/v1/tiers", client.put), ("/v1/tiers/preview", client.post)):
        answer = await method(path, json=PROGRAM | change)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text


async def test_where_a_member_stands_and_what_is_missing(client: httpx.AsyncClient) -> None:
    await client.put("/v1/tiers", json=PROGRAM)
    member_id = (await client.post("/v1/orders", json=recent(1, 20_000, days=20))).json()["member_id"]
    path = f"/v1/members/{member_id}"
    place = (await client.get(f"{path}/standing")).json()
    assert place["tier"]["next_tier"] == "gold"
    assert place["tier"]["missing"] == {"spend_minor": 30_000, "orders": 2, "points": None}
    assert place["tier"]["missing_by"] is not None
    assert (place["tier"]["ends_at"], place["tier"]["prolonged_if"]) == (None, None)
    assert (place["stage"]["stage"], place["stage"]["next_stage"]) == ("identification", "decline")
    await client.post("/v1/orders", json=recent(2, 30_000, days=0))
    page = (await client.get(path)).json()
    assert page["tier"] == page["standing"]["tier"] == "gold"

    assert page["standing"]["ends_at"] is not None
    assert page["standing"]["prolonged_if"] is not None
    assert page["lifecycle"]["purchases"] == 2
    history = (await client.get(f"{path}/tier/history")).json()["items"]
    assert [(item["kind"], item["to_tier"], item["spend_minor"]) for item in history] == [
        ("upgraded", "gold", 50_000)
    ]
    stages = (await client.get(f"{path}/stage/history")).json()["items"]
    assert [item["to_stage"] for item in stages] == ["development"]
    for part in ("standing", "tier/history", "stage/history"):
        missing = await client.get(f"/v1/members/{new_id()}/{part}")
        assert (missing.status_code, missing.json()["code"]) == (404, "member_not_found")


async def test_a_tier_is_locked_and_unlocked(client: httpx.AsyncClient) -> None:
    member_id = (await client.post("/v1/orders", json=recent(1, 100))).json()["member_id"]
    path = f"/v1/members/{member_id}/tier/lock"
    body = {"tier": "gold", "reason": "made up for a lost order"}
    rehearsed = await client.put(path, params={"dry_run": "true"}, json=body)
    assert rehearsed.json()["tier"]["tier"] == "gold"
    assert (await client.get(f"/v1/members/{member_id}/standing")).json()["tier"]["tier"] == "bronze"
    locked = (await client.put(path, json=body)).json()["tier"]
    assert (locked["tier"], locked["lock"]["actor"], locked["lock"]["until"]) == ("gold", "development", None)
    assert (await client.put(path, json=body | {"tier": "x"})).json()["code"] == "unknown_tier"
    past = body | {"until": "2020-01-01T00:00:00Z"}
    assert (await client.put(path, json=past)).json()["code"] == "lock_ended"
    assert (await client.put(path, json={"tier": "gold"})).status_code == 422
    unlocked = await client.request("DELETE", path, params={"reason": "enough"})
    assert unlocked.json()["tier"]["tier"] == "bronze"
    pages: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"/v1/members/{member_id}/tier/history", params=query)).json()
        pages += [item["kind"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == ["downgraded", "unlocked", "upgraded", "locked"]


async def test_the_lifecycle_and_its_strategies(client: httpx.AsyncClient) -> None:
    first = (await client.get("/v1/lifecycle")).json()
    assert (first["version"], first["strategies"]) == (1, {})
    rules = {"typical_interval_days": 30, "decline_ratio": 1.5, "strategies": {"decline": "win-back"}}
    assert (await client.put("/v1/lifecycle", params={"dry_run": "true"}, json=rules)).json()["version"] == 2
    assert (await client.get("/v1/lifecycle")).json()["version"] == 1
    assert (await client.put("/v1/lifecycle", json=rules)).status_code == 200
    held = (await client.get("/v1/lifecycle")).json()
    assert (held["version"], held["typical_interval_days"], held["strategies"]) == (
        2,
        30,
        {"decline": "win-back"},
    )
    for bad in (
        {"decline_ratio": 5},
        {"typical_interval_days": 0},
        {"hysteresis": 1},
        {"strategies": {"limbo": "x"}},
        {"stability_purchases": 2, "development_purchases": 3},
        {"typical_interval_days": "30"},
    ):
        answer = await client.put("/v1/lifecycle", json=bad)
        assert answer.status_code == 422, bad
