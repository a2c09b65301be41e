"""What becomes of a redemption: confirmed, declined, called off, packed and shipped."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from services.points.app import service
from services.points.domain import Reward
from services.points.errors import RedemptionNotFound
from services.points.handlers import handlers
from services.points.settings import PointsSettings
from shared.database import Database
from shared.events import (
    CouponDeclined,
    CouponIssued,
    Event,
    MemberMerged,
    MemberTierPurchaseDeclined,
    MemberTierUpgraded,
    MemberUnmerged,
)
from shared.ids import new_id
from shared.testing import api_client
from tests.fixtures.moment import now
from tests.points.ledger import DAY, Books, coupon, earn_of, envelope, outbox


@pytest.fixture
async def client(points_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = PointsSettings(database_url=points_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


def reward_of(kind: str, cost_points: int = 40, **changes: Any) -> Reward:
    reward = coupon(cost_points)
    reward.kind = kind
    for name, value in changes.items():
        setattr(reward, name, value)
    return reward


async def buy(client: httpx.AsyncClient, books: Books, reward: Reward) -> tuple[UUID, dict[str, Any]]:
    """A member with 100 points in two lots buys the reward."""
    member = uuid4()
    await books.earn(earn_of(member, 3_000, paid_at=now() - 200 * DAY), earn_of(member, 7_000))
    await books.add(reward)
    answer = await client.post(
        "/v1/redemptions", json={"member_id": str(member), "reward_id": str(reward.id)}
    )
    assert answer.status_code == 201, answer.text
    bought: dict[str, Any] = answer.json()
    return member, bought


async def hear(books: Books, *events: Event) -> None:
    async with books.database.transaction() as session:
        await handlers.dispatch(session, [envelope(event) for event in events])


async def shown(client: httpx.AsyncClient, bought: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/redemptions/{bought['redemption_id']}")).json()
    return found


async def test_a_coupon_is_pending_until_campaigns_has_issued_it(
    client: httpx.AsyncClient, books: Books
) -> None:
    member, bought = await buy(client, books, reward_of("coupon"))
    assert bought["status"] == "pending"
    issued = CouponIssued(
        coupon_id=new_id(),
        member_id=member,
        code="ABC",
        promotion_id=new_id(),
        redemption_id=UUID(bought["redemption_id"]),
        issued_at=now(),
    )
    await hear(books, issued, issued)
    assert (await shown(client, bought))["status"] == "granted"
    assert (await books.balance(member)).available_points == 60


async def test_a_coupon_that_cannot_be_issued_gives_the_points_back_to_their_lots(
    client: httpx.AsyncClient, books: Books
) -> None:
    reward = reward_of("coupon", stock=5)
    member, bought = await buy(client, books, reward)
    declined = CouponDeclined(
        member_id=member,
        redemption_id=UUID(bought["redemption_id"]),
        reference="5-off",
        reason="promotion_ended",
        declined_at=now(),
    )
    await hear(books, declined, declined)
    await hear(books, declined)
    found = await shown(client, bought)
    assert (found["status"], found["reason"]) == ("declined", "promotion_ended")
    balance = await books.balance(member)
    assert (balance.available_points, balance.spent_points) == (100, 0)
    assert [points for _, points in balance.expirations] == [30, 70]
    assert (await client.get(f"/v1/rewards/{reward.id}")).json()["stock"] == 5
    async with books.database.reading() as session:
        (said,) = await outbox(session, "reward.cancelled")
    assert (said["status"], said["points"], said["balance_points"]) == ("declined", 40, 100)
    await books.assert_balanced()


async def test_a_tier_is_bought_and_confirmed_or_declined(client: httpx.AsyncClient, books: Books) -> None:
    gold = reward_of("tier_upgrade", reference="gold")
    member, bought = await buy(client, books, gold)
    other, refused = await buy(client, books, reward_of("tier_upgrade", reference="gold"))
    async with books.database.reading() as session:
        granted = await outbox(session, "reward.granted")
    assert [(event["reward_kind"], event["reference"]) for event in granted] == [("tier_upgrade", "gold")] * 2
    raised = MemberTierUpgraded(
        member_id=member,
        to_tier="gold",
        changed_at=now(),
        reason="bought",
        redemption_id=UUID(bought["redemption_id"]),
    )
    declined = MemberTierPurchaseDeclined(
        member_id=other,
        redemption_id=UUID(refused["redemption_id"]),
        tier="gold",
        reason="not_higher",
        declined_at=now(),
    )
    await hear(books, raised, declined)
    assert (await shown(client, bought))["status"] == "granted"
    assert (await shown(client, refused))["status"] == "declined"
    assert (await books.balance(other)).available_points == 100
    await books.assert_balanced()


async def test_a_word_about_an_unknown_redemption_is_refused(books: Books) -> None:
    stray = CouponDeclined(
        member_id=uuid4(), redemption_id=uuid4(), reference="x", reason="promotion_ended", declined_at=now()
    )
    with pytest.raises(RedemptionNotFound):
        await hear(books, stray)


async def test_goods_go_step_by_step_and_each_is_said(client: httpx.AsyncClient, books: Books) -> None:
    mug = reward_of("goods", reference="MUG", stock=1)
    _, bought = await buy(client, books, mug)
    assert (bought["status"], (await shown(client, bought))["fulfilment"]) == ("granted", "requested")
    listed = (await client.get("/v1/fulfilments", params={"step": "requested"})).json()["items"]
    assert [item["redemption_id"] for item in listed] == [bought["redemption_id"]]
    step = {"redemption_id": bought["redemption_id"]}
    packed = await client.post("/v1/fulfilments", json=step | {"step": "packed"})
    assert packed.json()["fulfilment"] == "packed"
    batch = [
        step | {"step": "shipped", "tracking": "1Z"},
        step | {"step": "shipped"},
        step | {"step": "packed"},
        step | {"step": "cancelled"},
        {"redemption_id": str(uuid4()), "step": "packed"},
        step | {"step": "flown"},
        step | {"step": "delivered"},
    ]
    results = (await client.post("/v1/fulfilments", json=batch)).json()["results"]
    assert [result.get("problem", {}).get("code") for result in results] == [
        None,
        None,
        "fulfilment_out_of_order",
        "fulfilment_out_of_order",
        "redemption_not_found",
        "invalid_item",
        None,
    ]
    found = await shown(client, bought)
    assert (found["fulfilment"], found["tracking"], found["status"]) == ("delivered", "1Z", "granted")
    async with books.database.reading() as session:
        said = await outbox(session, "reward.fulfilment_changed")
    assert [event["step"] for event in said] == ["packed", "shipped", "delivered"]
    assert (await client.get("/v1/fulfilments", params={"step": "shipped"})).json()["items"] == []


@pytest.mark.parametrize("kind", ["goods", "gift"])
async def test_what_the_seller_cancels_gives_points_and_stock_back(
    client: httpx.AsyncClient, books: Books, kind: str
) -> None:
    mug = reward_of(kind, reference="MUG", stock=3)
    member, bought = await buy(client, books, mug)
    body = {"redemption_id": bought["redemption_id"], "step": "cancelled"}
    rehearsed = await client.post("/v1/fulfilments", json=body, params={"dry_run": "true"})
    assert rehearsed.json()["status"] == "cancelled"
    assert (await books.balance(member)).available_points == 60
    for _ in range(2):
        answer = (await client.post("/v1/fulfilments", json=body)).json()
        assert (answer["status"], answer["fulfilment"]) == ("cancelled", "cancelled")
    assert (await books.balance(member)).available_points == 100
    assert (await client.get(f"/v1/rewards/{mug.id}")).json()["stock"] == 3
    await books.assert_balanced()


async def test_a_member_calls_goods_off_in_time_and_nothing_else(
    client: httpx.AsyncClient, books: Books
) -> None:
    member, bought = await buy(client, books, reward_of("goods", reference="MUG", per_member_limit=1))
    where = f"/v1/redemptions/{bought['redemption_id']}/cancel"
    first, again = await client.post(where), await client.post(where)
    assert (first.json()["status"], first.json()["reason"]) == ("cancelled", "cancelled_by_member")
    assert again.json() == first.json()
    assert (await books.balance(member)).available_points == 100
    # What came back does not count against the limit.
    body = {"member_id": str(member), "reward_id": bought["reward_id"]}
    assert (await client.post("/v1/redemptions", json=body)).status_code == 201
    _, issued = await buy(client, books, reward_of("coupon"))
    answer = await client.post(f"/v1/redemptions/{issued['redemption_id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_cancellable")
    answer = await client.post(
        "/v1/fulfilments", json={"redemption_id": issued["redemption_id"], "step": "packed"}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_fulfil")
    assert (await client.post(f"/v1/redemptions/{uuid4()}/cancel")).status_code == 404
    await books.assert_balanced()


async def test_tiers_gate_rewards(client: httpx.AsyncClient, books: Books) -> None:
    member, reward = uuid4(), reward_of("coupon", tiers=["gold"])
    await books.earn(earn_of(member))
    await books.add(reward)
    body = {"member_id": str(member), "reward_id": str(reward.id)}
    refused = await client.post("/v1/redemptions", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "tier_required")
    await hear(books, MemberTierUpgraded(member_id=member, to_tier="gold", changed_at=now(), reason="spend"))
    assert (await client.post("/v1/redemptions", json=body)).status_code == 201


async def test_limits_of_a_period_and_for_ever_hold_across_parallel_requests(
    client: httpx.AsyncClient, books: Books
) -> None:
    weekly = reward_of("coupon", 1, period="week", period_limit=2, per_member_limit=3)
    member, _ = await buy(client, books, weekly)
    body = {"member_id": str(member), "reward_id": str(weekly.id)}
    codes = [(await client.post("/v1/redemptions", json=body)).json().get("code") for _ in range(3)]
    assert codes == [None, "period_limit_reached", "period_limit_reached"]
    async with books.database.transaction() as session:
        await session.execute(text("UPDATE redemptions SET redeemed_at = redeemed_at - interval '8 days'"))
    codes = [(await client.post("/v1/redemptions", json=body)).json().get("code") for _ in range(2)]
    assert codes == [None, "member_limit_reached"]


async def test_limits_are_a_persons_when_two_members_are_merged(
    client: httpx.AsyncClient, books: Books
) -> None:
    daily = reward_of("coupon", 10, period="day", period_limit=2)
    kim, alias = uuid4(), uuid4()
    await books.add(daily)
    await books.earn(earn_of(kim), earn_of(alias))
    for member in (kim, alias, alias):
        body = {"member_id": str(member), "reward_id": str(daily.id)}
        assert (await client.post("/v1/redemptions", json=body)).status_code == 201
    await hear(books, MemberMerged(surviving_id=kim, merged_id=alias, merged_at=now(), revision=1))
    # Both had today's limit used, together more than one person may: nothing is taken back, nothing added.
    for member in (kim, alias):
        body = {"member_id": str(member), "reward_id": str(daily.id)}
        assert (await client.post("/v1/redemptions", json=body)).json()["code"] == "daily_limit_reached"
    listed = (await client.get(f"/v1/members/{kim}/redemptions")).json()["items"]
    assert len(listed) == 3
    await hear(books, MemberUnmerged(surviving_id=kim, merged_id=alias, unmerged_at=now(), revision=2))
    body = {"member_id": str(kim), "reward_id": str(daily.id)}
    assert (await client.post("/v1/redemptions", json=body)).status_code == 201
    await books.assert_balanced()
