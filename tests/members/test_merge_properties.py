"""A merge that is undone was never: whatever two members had, and whatever they were merged with."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.members import operations
from services.members.operations import Merge, Merged
from shared.database import Database
from tests.members.shop import Shop, cancellation, day, order, refund

NAMES = ("a", "b", "c")

days = st.integers(1, 28)
consents = st.fixed_dictionaries(
    {"purpose": st.just("marketing"), "granted": st.booleans(), "given_at": days.map(day)}
)
points = st.lists(
    st.fixed_dictionaries(
        {
            "channel": st.just("email"),
            "address": st.sampled_from(["one@example.test", "two@example.test"]),
            "verified": st.just(False),
            "consents": st.lists(consents, max_size=2),
        }
    ),
    max_size=2,
)
customers = st.fixed_dictionaries(
    {}, optional={"locale": st.sampled_from(["en", "pt-BR"]), "display_name": st.sampled_from(["Kim", "Lee"])}
)
orders = st.lists(
    st.fixed_dictionaries(
        {
            "buyer": st.sampled_from(NAMES),
            "total_minor": st.sampled_from([100, 9_000, 19_900, 60_000]),
            "placed_at": days.map(day),
            "contact_points": points,
            "customer": customers,
            "fate": st.sampled_from(["kept", "refunded", "cancelled"]),
        }
    ),
    min_size=1,
    max_size=6,
)
purchases = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["silver", "gold"]), max_size=2)
pairs = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] != pair[1]),
    min_size=1,
    max_size=3,
)


async def reset(database: Database) -> None:
    """Begin anew on the same database: making one for each example would take most of the time."""
    async with database.transaction() as session:
        await session.execute(
            text("TRUNCATE members, orders, refunds, cancellations, tallies, outbox CASCADE")
        )


async def seen(shop: Shop) -> dict[str, Any]:
    """All that the API shows of everybody, but for what only moves on: a counter, and when to look next.

    And the terms on which they hold their tiers.
    """
    moving = {"revision": None, "updated_at": None, "stage_look_at": None, "has_tier_terms": None}
    terms = "counts_from, ends_at, falls_at, falls_reason, is_given"
    rows = await shop.rows(f"SELECT member_id, {terms} FROM tier_terms WHERE is_given ORDER BY member_id")
    return {"terms": rows} | {name: {**await shop.member(name), **moving} for name in NAMES}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=orders, bought=purchases, merges=pairs, rotation=st.integers(0, 5))
async def test_merge_and_unmerge_restore_both_members_as_if_it_had_never_been(
    history: list[dict[str, Any]],
    bought: dict[str, str],
    merges: list[tuple[str, str]],
    rotation: int,
    members_database: Database,
) -> None:
    await reset(members_database)
    shop = Shop(members_database)
    await shop.take(*(order(name, name, 1) for name in NAMES))
    for number, each in enumerate(history):
        fields = dict(each)
        fate = fields.pop("fate")
        await shop.take(order(number, fields.pop("buyer"), fields.pop("total_minor"), **fields))
        if fate == "refunded":
            await shop.refund(refund(number, "r", each["total_minor"] // 2))
        elif fate == "cancelled":
            await shop.cancel(cancellation(number))
    for name, tier in bought.items():
        await shop.buy_tier(name, tier)
    before = await seen(shop)
    done = [
        (surviving, merged)
        for surviving, merged in merges
        if isinstance(result := await shop.merge(surviving, merged), Merged) and result.changed
    ]
    await shop.audit()
    links = await shop.rows("SELECT surviving_id, merged_id FROM aliases ORDER BY merged_id")
    assert len(links) == len(done)
    # In any order, not only from the last to the first; in one batch or one after the other.
    turn = rotation % max(len(links), 1)
    parting = [Merge(surviving, merged, "test") for surviving, merged in [*links[turn:], *links[:turn]]]
    for batch in [parting] if rotation % 2 else [[each] for each in parting]:
        async with members_database.transaction() as session:
            results = await operations.unmerge_members(session, batch)
        assert all(isinstance(result, Merged) and result.changed for result in results)
    assert await seen(shop) == before
    await shop.audit()
