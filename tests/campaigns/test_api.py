"""The front door of campaigns: what it takes, what it refuses and how it says so."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared.database import Database
from tests.campaigns.building import (
    SKU,
    figures,
    group_state,
    hear,
    member,
    new_activity,
    open_group,
    paid,
    pass_time,
    run_jobs,
    stock_left,
    wall,
)
from tests.campaigns.building import activity as set_up
from tests.fixtures.services import emitted


def body(**changes: Any) -> dict[str, Any]:
    """Return the body of an activity that is active now."""
    values: dict[str, Any] = {
        "name": "Mugs",
        "shop_id": "us-store",
        "starts_at_local": wall(timedelta(hours=-1)).isoformat(),
        "ends_at_local": wall(timedelta(days=3)).isoformat(),
        "fold": 0,
        "group_size": 2,
        "discount_percent": 20,
        "currency": "USD",
        "skus": [
            {
                "sku": SKU,
                "product_id": "MUG",
                "title": "Blue mug",
                "normal_price_minor": 1999,
                "stock": 5,
            },
            {
                "sku": "MUG-RED",
                "product_id": "MUG",
                "title": "Red mug",
                "normal_price_minor": 1999,
                "stock": 5,
                "discount_percent": 50,
            },
        ],
    }
    return values | changes


async def test_an_activity_is_priced_timed_and_active_by_the_clock(api: httpx.AsyncClient) -> None:
    answer = await api.post("/v1/activities", json=body())
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["state"] == "active"
    assert {row["sku"]: row["price_minor"] for row in shown["skus"]} == {SKU: 1599, "MUG-RED": 999}
    found = await api.get(f"/v1/activities/{shown['activity_id']}", params={"zone": "Asia/Tokyo"})
    assert found.json()["in_zone"]["starts_at"].endswith("+09:00")
    listed = (await api.get("/v1/activities", params={"limit": 1})).json()
    assert [row["activity_id"] for row in listed["items"]] == [shown["activity_id"]]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": ""}, "invalid_request"),
        ({"name": "x" * 33}, "invalid_request"),
        ({"group_size": 1}, "invalid_request"),
        ({"group_size": 101}, "invalid_request"),
        ({"discount_percent": 4}, "invalid_request"),
        ({"discount_percent": 100}, "invalid_request"),
        ({"currency": "XXQ"}, "invalid_request"),
        ({"skus": []}, "invalid_request"),
        ({"starts_at_local": "2030-01-01T00:00:00Z"}, "invalid_request"),
        ({"starts_at_local": 1_900_000_000}, "invalid_request"),
        ({"checkout_url": "javascript:alert(1)"}, "invalid_request"),
        ({"checkout_url": "https://[broken"}, "invalid_request"),
        ({"unknown": 1}, "invalid_request"),
        ({"ends_at_local": "2020-01-01T00:00:00"}, "activity_ends_too_early"),
        (
            {"starts_at_local": "2031-01-01T00:00:00", "ends_at_local": "2031-06-30T00:00:01"},
            "activity_too_long",
        ),
        # 9 March 2031, 2:30 does not exist in Los Angeles; 2 November 2031, 1:30 is there twice.
        (
            {"starts_at_local": "2031-03-09T02:30:00", "ends_at_local": "2031-03-10T00:00:00"},
            "nonexistent_local_time",
        ),
        (
            {"starts_at_local": "2031-11-02T01:30:00", "ends_at_local": "2031-11-03T00:00:00", "fold": None},
            "ambiguous_local_time",
        ),
    ],
)
async def test_an_activity_that_breaks_a_rule_is_refused(
    api: httpx.AsyncClient, changes: dict[str, Any], code: str
) -> None:
    answer = await api.post("/v1/activities", json=body(**changes))
    assert answer.json()["code"] == code, answer.text
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_fold_says_which_of_two_hours(api: httpx.AsyncClient) -> None:
    times = {"starts_at_local": "2031-11-02T01:30:00", "ends_at_local": "2031-11-03T00:00:00"}
    first = await api.post("/v1/activities", json=body(**times, starts_at_fold=0))
    await api.post(f"/v1/activities/{first.json()['activity_id']}/cancel")
    second = await api.post("/v1/activities", json=body(**times, starts_at_fold=1))
    assert first.json()["starts_at"] == "2031-11-02T08:30:00Z"
    assert second.json()["starts_at"] == "2031-11-02T09:30:00Z"


async def test_a_cent_cannot_be_discounted(api: httpx.AsyncClient) -> None:
    sku = body()["skus"][0] | {"normal_price_minor": 1}
    answer = await api.post("/v1/activities", json=body(skus=[sku]))
    assert answer.json()["code"] == "price_too_low"


async def test_a_sku_is_in_one_promotion_at_a_time(api: httpx.AsyncClient) -> None:
    # One body for all: made a second later, its end would reach into what begins where this one ends.
    values = body()
    first = (await api.post("/v1/activities", json=values)).json()
    refused = await api.post("/v1/activities", json=values)
    assert (refused.status_code, refused.json()["code"]) == (409, "sku_locked")
    assert refused.json()["skus"] == [SKU, "MUG-RED"]
    assert (await api.post("/v1/activities", json=values | {"shop_id": "eu-store"})).status_code == 201
    later = {
        "starts_at_local": values["ends_at_local"],
        "ends_at_local": wall(timedelta(days=4)).isoformat(),
    }
    assert (await api.post("/v1/activities", json=values | later)).status_code == 201
    assert (await api.post(f"/v1/activities/{first['activity_id']}/cancel")).status_code == 200
    assert (await api.post("/v1/activities", json=values)).status_code == 201


async def test_cancelling_refunds_whoever_paid_and_happens_once(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    activity_id = await set_up(campaigns_database)
    held = await open_group(campaigns_database, activity_id)
    for _ in range(2):
        answer = await api.post(f"/v1/activities/{activity_id}/cancel", json={"reason": "out of mugs"})
        assert answer.json()["state"] == "cancelled"
    assert await group_state(campaigns_database, held.seat.group_id) == "failed"
    counts = await figures(campaigns_database)
    assert counts["refund_reasons"] == {"activity_cancelled": 1}
    assert counts["undecided_minor"] == 0
    assert await stock_left(campaigns_database, activity_id) == 100
    async with campaigns_database.reading() as session:
        said = [name for name, _, _ in await emitted(session)]
    assert said.count("activity.cancelled") == said.count("group.expired") == 1


async def _open(
    api: httpx.AsyncClient, activity_id: object, number: int = 1, **changes: Any
) -> httpx.Response:
    values = {"activity_id": str(activity_id), "sku": SKU, "member_id": str(member(number))}
    return await api.post("/v1/groups", json=values | changes)


async def test_a_group_is_opened_joined_by_its_link_and_read(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    held = await open_group(campaigns_database, await set_up(campaigns_database))
    group = (await api.get(f"/v1/groups/{held.seat.group_id}")).json()
    assert (group["state"], group["seats_left"]) == ("open", 1)
    joined = await api.post("/v1/seats", json={"token": group["link_token"], "member_id": str(member(2))})
    assert joined.status_code == 201, joined.text
    assert (joined.json()["seat_no"], joined.json()["amount_minor"]) == (2, 1600)
    again = await api.post("/v1/seats", json={"token": group["link_token"], "member_id": str(member(2))})
    assert (again.status_code, again.json()["code"]) == (409, "already_in_group")
    own = await api.post("/v1/seats", json={"token": group["link_token"], "member_id": str(member(1))})
    assert own.json()["code"] == "already_in_group"


async def test_a_group_that_nobody_paid_for_has_no_link(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    opened = (await _open(api, await set_up(campaigns_database))).json()
    assert opened["state"] == "pending"
    group = (await api.get(f"/v1/groups/{opened['group_id']}")).json()
    assert group["link_token"] is None
    refused = await api.post(
        f"/v1/groups/{opened['group_id']}/links", json={"sharer_id": str(member(1)), "channel": "vk"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "group_not_open")
    refused = await api.post("/v1/seats", json={"group_id": opened["group_id"], "member_id": str(member(2))})
    assert refused.json()["code"] == "group_not_open"


async def test_losing_the_last_seat_says_what_else_to_do(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    activity_id = await set_up(campaigns_database)
    full = await open_group(campaigns_database, activity_id)
    other = await open_group(campaigns_database, activity_id, 8, listed=True)
    await open_group(campaigns_database, activity_id, 9)
    seat = {"group_id": str(full.seat.group_id)}
    assert (await api.post("/v1/seats", json=seat | {"member_id": str(member(2))})).status_code == 201
    lost = await api.post("/v1/seats", json=seat | {"member_id": str(member(3))})
    assert (lost.status_code, lost.json()["code"]) == (409, "group_full")
    join, own = lost.json()["alternatives"]
    assert (join["action"], join["group_id"]) == ("join_group", str(other.seat.group_id))
    assert own == {"action": "open_group", "activity_id": str(activity_id), "sku": SKU}
    assert "price" not in lost.text


@pytest.mark.parametrize(
    ("terms", "asked", "status", "code"),
    [
        ({"units_per_order": 2}, {"quantity": 3}, 422, "order_limit_exceeded"),
        ({"units_per_member": 2}, {"quantity": 3}, 422, "member_limit_exceeded"),
        ({}, {"quantity": 101}, 409, "out_of_stock"),
        ({}, {"sku": "UNKNOWN"}, 404, "sku_not_found"),
        ({"minimum_remaining_seconds": 11 * 86_400}, {}, 409, "too_little_time_left"),
        ({"starts_at_local": wall(timedelta(hours=1))}, {}, 409, "activity_not_active"),
    ],
)
async def test_what_an_activity_does_not_allow(
    api: httpx.AsyncClient,
    campaigns_database: Database,
    terms: dict[str, Any],
    asked: dict[str, Any],
    status: int,
    code: str,
) -> None:
    answer = await _open(api, await set_up(campaigns_database, **terms), **asked)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_limits_are_given_back_when_a_hold_lapses(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    activity_id = await set_up(campaigns_database, groups_per_member=1, units_per_member=1)
    assert (await _open(api, activity_id)).status_code == 201
    assert (await _open(api, activity_id)).json()["code"] == "group_limit_exceeded"
    await pass_time(campaigns_database, timedelta(hours=1))
    # No job has been round: the write itself gives back what is over.
    assert (await _open(api, activity_id)).status_code == 201


async def test_stock_comes_back_without_a_job(api: httpx.AsyncClient, campaigns_database: Database) -> None:
    activity_id = await set_up(campaigns_database, skus=[new_activity().skus[0]])
    assert (await _open(api, activity_id, 1, quantity=100)).status_code == 201
    assert (await _open(api, activity_id, 2)).json()["code"] == "out_of_stock"
    await pass_time(campaigns_database, timedelta(hours=1))
    assert (await _open(api, activity_id, 2, quantity=100)).status_code == 201


async def test_two_hundred_clients_want_the_last_seat(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    held = await open_group(campaigns_database, await set_up(campaigns_database))
    seat = {"group_id": str(held.seat.group_id)}
    answers = await asyncio.gather(
        *(api.post("/v1/seats", json=seat | {"member_id": str(member(number))}) for number in range(100, 300))
    )
    won = [answer for answer in answers if answer.status_code == 201]
    assert len(won) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"group_full"}
    group = (await api.get(f"/v1/groups/{held.seat.group_id}")).json()
    assert [row["state"] for row in group["seats"]] == ["paid", "held"]
    assert group["seats_left"] == 0


async def test_the_same_idempotency_key_holds_one_seat(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    held = await open_group(campaigns_database, await set_up(campaigns_database))
    seat = {"group_id": str(held.seat.group_id), "member_id": str(member(2))}
    answers = await asyncio.gather(
        *(api.post("/v1/seats", json=seat, headers={"Idempotency-Key": "k"}) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["seat_id"] for answer in answers}) == 1


async def test_a_dry_run_changes_nothing(api: httpx.AsyncClient, campaigns_database: Database) -> None:
    activity_id = await set_up(campaigns_database)
    held = await open_group(campaigns_database, activity_id)
    seat = {"group_id": str(held.seat.group_id), "member_id": str(member(2))}
    rehearsed = await api.post("/v1/seats", params={"dry_run": True}, json=seat)
    assert rehearsed.status_code == 201
    assert rehearsed.headers["Dry-Run"] == "true"
    await api.post(f"/v1/activities/{activity_id}/cancel", params={"dry_run": True})
    assert await stock_left(campaigns_database, activity_id) == 99
    assert await group_state(campaigns_database, held.seat.group_id) == "open"


async def test_refund_requests_are_listed_until_they_are_answered(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    held = await open_group(campaigns_database, await set_up(campaigns_database))
    await hear(campaigns_database, paid(held, payment_id="P-2"), paid(held, payment_id="P-3"))
    await pass_time(campaigns_database, timedelta(days=1))
    await run_jobs(campaigns_database)
    first = (await api.get("/v1/refund-requests", params={"state": "open", "limit": 2})).json()
    rest = (
        await api.get(
            "/v1/refund-requests", params={"state": "open", "limit": 2, "cursor": first["next_cursor"]}
        )
    ).json()
    found = [*first["items"], *rest["items"]]
    assert [row["reason"] for row in found] == ["duplicate", "duplicate", "group_expired"]
    assert len({row["refund_key"] for row in found}) == 3
    assert rest["next_cursor"] is None
    summary = (await api.get("/v1/summary")).json()
    assert summary["undecided_minor"] == 0
    assert summary["refunds_requested"] == 3


async def test_a_key_is_needed_but_for_the_page(api: httpx.AsyncClient) -> None:
    for path in ("/v1/activities", "/v1/groups", "/v1/coupons", "/v1/summary", "/v1/refund-requests"):
        assert (await api.get(path, headers={"Authorization": "Bearer rk_no_such"})).status_code == 401


async def test_what_does_not_exist_is_not_found(api: httpx.AsyncClient) -> None:
    nobody = str(member(0))
    for path in ("activities", "groups", "promotions"):
        assert (await api.get(f"/v1/{path}/{nobody}")).status_code == 404
    assert (await api.post(f"/v1/activities/{nobody}/cancel")).json()["code"] == "activity_not_found"
    unknown = {"group_id": nobody, "member_id": nobody}
    assert (await api.post("/v1/seats", json=unknown)).json()["code"] == "group_not_found"
    forged = {"token": "not.a.token", "member_id": nobody}
    assert (await api.post("/v1/seats", json=forged)).json()["code"] == "invalid_token"
