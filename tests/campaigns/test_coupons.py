"""Coupons: one per redemption, whatever is told how often, and none lost for want of a promotion."""

import random
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.campaigns import operations
from shared.clock import utc_now
from shared.database import Database
from shared.events import RewardGranted
from shared.ids import derived_id, new_id
from tests.campaigns.building import figures, hear, member
from tests.fixtures.services import emitted


def granted(number: int, reference: str | None, **changes: Any) -> RewardGranted:
    """Return the grant of a coupon to a member of that number."""
    values: dict[str, Any] = {
        "member_id": member(number),
        "redemption_id": derived_id("test-redemption", str(number)),
        "reward_id": derived_id("test-reward", "1"),
        "reward_kind": "coupon",
        "reference": reference,
        "granted_at": utc_now(),
    }
    return RewardGranted(**(values | changes))


async def define(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    """Define a promotion."""
    values = {"name": "5 dollars", "kind": "amount", "amount_minor": 500, "currency": "USD"}
    answer = await api.post("/v1/promotions", json=values | changes)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_redemption_gets_one_coupon(api: httpx.AsyncClient, campaigns_database: Database) -> None:
    promotion = await define(api, valid_days=30)
    grants = [granted(number, promotion["promotion_id"]) for number in range(5)]
    grants += [granted(9, promotion["promotion_id"], reward_kind="goods")]
    grants *= 3
    random.Random(1).shuffle(grants)
    await hear(campaigns_database, *grants[:7])
    await hear(campaigns_database, *grants[7:])
    async with campaigns_database.reading() as session:
        issued = [payload for name, _, payload in await emitted(session) if name == "coupon.issued"]
    assert len(issued) == len({coupon["code"] for coupon in issued}) == 5
    (coupon,) = (await api.get("/v1/coupons", params={"member_id": str(member(3))})).json()["items"]
    assert (coupon["state"], coupon["amount_minor"]) == ("issued", 500)
    assert coupon["expires_at"] is not None
    assert len((await api.get("/v1/coupons", params={"limit": 4})).json()["items"]) == 4


async def test_a_reward_waits_for_its_promotion(api: httpx.AsyncClient, campaigns_database: Database) -> None:
    grants = [granted(1, "WELCOME-5"), granted(2, None), granted(3, str(new_id()))]
    await hear(campaigns_database, *grants, *grants)
    assert (await figures(campaigns_database))["coupons_parked"] == 3
    await define(api, reference="WELCOME-5")
    await define(api, reference=str(derived_id("test-reward", "1")))
    counts = await figures(campaigns_database)
    assert (counts["coupons_issued"], counts["coupons_parked"]) == (2, 1)
    # Told again after it was issued, a redemption gets nothing more.
    await hear(campaigns_database, *grants)
    assert (await figures(campaigns_database))["coupons_issued"] == 2


async def declined(database: Database) -> list[tuple[str, str]]:
    """Reference and reason of each coupon that was declined."""
    async with database.reading() as session:
        said = [payload for name, _, payload in await emitted(session) if name == "coupon.declined"]
    return [(payload["reference"], payload["reason"]) for payload in said]


async def test_of_a_promotion_that_is_over_nothing_is_issued_and_the_points_go_back(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    await define(api, reference="SUMMER", ends_at="2026-01-01T00:00:00Z")
    grants = [granted(1, "SUMMER"), granted(2, "SUMMER")]
    await hear(campaigns_database, *grants, *grants)
    await hear(campaigns_database, *grants)
    assert await declined(campaigns_database) == [("SUMMER", "promotion_ended")] * 2
    assert (await figures(campaigns_database))["coupons_issued"] == 0


async def test_a_coupon_issued_in_time_is_not_declined_when_it_is_heard_of_again(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    await define(api, reference="SUMMER", ends_at="2100-01-01T00:00:00Z")
    await hear(campaigns_database, granted(1, "SUMMER"))
    async with campaigns_database.transaction() as session:
        await session.execute(text("UPDATE promotions SET ends_at = clock_timestamp()"))
    await hear(campaigns_database, granted(1, "SUMMER"))
    assert await declined(campaigns_database) == []
    assert (await figures(campaigns_database))["coupons_issued"] == 1


async def test_a_coupon_waits_for_its_promotion_for_so_long_and_then_never_again(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    old = granted(1, "NEVER", granted_at=utc_now() - timedelta(hours=25))
    await hear(campaigns_database, old, granted(2, "NEVER"))
    for expected in (1, 0):
        async with campaigns_database.transaction() as session:
            assert await operations.decline_lapsed(session, hours=24, limit=10) == expected
    assert await declined(campaigns_database) == [("NEVER", "unknown_promotion")]
    await hear(campaigns_database, old)
    await define(api, reference="NEVER")
    counts = await figures(campaigns_database)
    assert (counts["coupons_issued"], counts["coupons_parked"]) == (1, 0)


async def test_a_reference_names_one_promotion(api: httpx.AsyncClient) -> None:
    await define(api, reference="SUMMER", kind="free_shipping", amount_minor=None, currency=None)
    answer = await api.post(
        "/v1/promotions",
        json={"name": "x", "kind": "percentage", "percent": 10, "reference": "SUMMER"},
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "reference_taken")
    assert len((await api.get("/v1/promotions")).json()["items"]) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": None},
        {"currency": None},
        {"percent": 10},
        {"kind": "percentage"},
        {"kind": "free_shipping"},
        {"amount_minor": 0},
        {"ends_at": "9999-12-31T23:59:59-23:00"},
    ],
)
async def test_a_promotion_is_worth_what_its_kind_says(
    api: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    values = {"name": "5 dollars", "kind": "amount", "amount_minor": 500, "currency": "USD"}
    answer = await api.post("/v1/promotions", json=values | changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
