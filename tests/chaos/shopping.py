"""Everybody shops while orders flow and processes are killed; then each answer is in the books, once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from tests.chaos.killing import killing
from tests.chaos.operator import verified
from tests.chaos.reconciliation import reconciled
from tests.chaos.shoppers import CENTS, POINTS, PRIZES, Catalogue, Shop, Shopper
from tests.chaos.storefront import Load, order
from tests.chaos.world import World

__all__ = ["everybody_shops"]

ALONE = (
    Shopper.captures_a_part,
    Shopper.voids,
    Shopper.lets_a_hold_lapse,
    Shopper.buys_a_coupon,
    Shopper.is_declined_a_coupon,
    Shopper.draws_lots,
    Shopper.returns_a_part,
    Shopper.returns_what_was_spent,
)
IN_PAIRS = (Shopper.gives_away, Shopper.merges_for_good, Shopper.merges_and_parts)

OF_EACH = 3
LANES = 8
ORDERS = 150
AT_ONCE = 30

# Who goes shopping, what they do, and what must be left of their points.
Trip = tuple[list[Shopper], Callable[[], Awaitable[int]]]


async def everybody_shops(
    world: World, name: str, *kills: Callable[[], None], moments: Sequence[float]
) -> None:
    """Let all flows of the ledger run at once, with a kill at each share of them.

    Nothing is lost and nothing happens twice: every figure is what the shoppers reckon, and every request
    that is sent once more under its key has the answer that it had.
    """
    async with Shop.of(world.platform) as shop:
        catalogue = await shop.catalogue(name)
        trips = await _trips(world, shop, catalogue, name)
        meanwhile = killing(*kills, moments=moments)
        waiting = list(enumerate(trips))
        left = [0] * len(trips)
        done = 0

        async def lane() -> None:
            nonlocal done
            while waiting:
                number, (_, goes) = waiting.pop()
                left[number] = await goes()
                done += 1
                meanwhile(done / len(trips))

        async with asyncio.TaskGroup() as everybody:
            everybody.create_task(world.storefront.send(Load(f"{name}-beside", ORDERS)))
            for _ in range(LANES):
                everybody.create_task(lane())
        assert shop.troubles, "nobody noticed that anything was killed"
        # Holds that nobody came back to lapse.
        await shop.until("points", "/v1/summary", "held_points", 0)
        await reconciled(world.platform, world.books, mails_twice=world.mails_twice)

        await _the_same_answers_again(shop)
        await reconciled(world.platform, world.books, mails_twice=world.mails_twice)
        for (shoppers, _), expected in zip(trips, left, strict=True):
            await _has_left(shop, shoppers, expected)
        await _no_prize_twice(shop, catalogue)
        await _one_coupon_each(shop, catalogue)
        facts = await verified(world)
        assert facts["verified"], facts


async def _trips(world: World, shop: Shop, catalogue: Catalogue, name: str) -> list[Trip]:
    """Give every shopper an order's points, and something to do, in turns."""
    count = OF_EACH * (len(ALONE) + 2 * len(IN_PAIRS))
    shoppers = [Shopper(shop, world.books, catalogue, f"{name}-{number}") for number in range(count)]
    now = datetime.now(UTC)
    orders = [order(each.customer, each.customer, CENTS, now) for each in shoppers]
    world.books.enter(orders)
    taken = await shop.ask("members", "/v1/orders", orders, name)
    for shopper, result in zip(shoppers, taken["results"], strict=True):
        shopper.member_id = result["member_id"]
    for shopper in shoppers:
        await shop.until("points", f"/v1/members/{shopper.member_id}/points", "available_points", POINTS)
    trips: list[Trip] = []
    coming = iter(shoppers)
    for _ in range(OF_EACH):
        for does in ALONE:
            shopper = next(coming)
            trips.append(([shopper], does.__get__(shopper)))
        for do in IN_PAIRS:
            first, second = next(coming), next(coming)
            trips.append(([first, second], lambda do=do, first=first, second=second: do(first, second)))
    return trips


async def _the_same_answers_again(shop: Shop) -> None:
    """Whoever had no answer asks again; whoever had one and asks again has the same."""
    for start in range(0, len(shop.said), AT_ONCE):
        asked = shop.said[start : start + AT_ONCE]
        answers = await asyncio.gather(
            *(
                shop.clients[said.service].post(
                    said.path, json=said.body, headers={"Idempotency-Key": said.key}
                )
                for said in asked
            )
        )
        for said, again in zip(asked, answers, strict=True):
            assert again.headers["Idempotency-Replayed"] == "true", said
            assert (again.status_code, again.json()) == (said.answer.status_code, said.answer.json())


async def _has_left(shop: Shop, shoppers: Sequence[Shopper], expected: int) -> None:
    """What is left of the points of those who shopped together, in however many accounts."""
    shown = [await shop.points(shopper.member_id) for shopper in shoppers]
    accounts = {each["account_id"]: each for each in shown}.values()
    assert sum(each["available_points"] for each in accounts) == expected, shown
    assert sum(each["held_points"] + each["pending_points"] for each in accounts) == 0, shown


async def _no_prize_twice(shop: Shop, catalogue: Catalogue) -> None:
    """Of each prize as many were won as are missing, and none beyond the stock; draws are what was said."""
    drawn = [said.answer.json() for said in shop.said if said.path == "/v1/draws"]
    for answer in drawn:
        shown = await shop.look("points", f"/v1/draws/{answer['draw_id']}")
        assert {name: shown[name] for name in ("ticket", "outcome", "receipt")} == {
            name: answer[name] for name in ("ticket", "outcome", "receipt")
        }
    won = Counter(answer["prize_number"] for answer in drawn if answer["outcome"] == "won")
    (odds,) = (await shop.look("points", f"/v1/lotteries/{catalogue.lottery}"))["odds"]
    for prize in odds["prizes"]:
        if prize["stock"] is not None:
            assert prize["stock"] - prize["left_units"] == won[prize["number"]] <= PRIZES


async def _one_coupon_each(shop: Shop, catalogue: Catalogue) -> None:
    """Campaigns issued one coupon for each that was bought, and none for those it declined."""
    bought = [said.body for said in shop.said if said.path == "/v1/redemptions"]
    counts = Counter(body["reward_id"] for body in bought)
    figures = await shop.look("campaigns", "/v1/summary")
    assert figures["coupons_issued"] == counts[catalogue.coupon] > 0
