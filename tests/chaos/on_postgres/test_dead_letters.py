"""A record that cannot be applied is put aside with its reason, the rest flows, and there is a way back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.databases import bus_of
from shared.testing import eventually
from tests.chaos.operator import regulars
from tests.chaos.reconciliation import drained, reconciled, summaries
from tests.chaos.storefront import Load, order, submitted
from tests.chaos.world import World

pytestmark = [pytest.mark.kill, pytest.mark.slow]

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


async def letters(world: World) -> list[dict[str, Any]]:
    """The dead letters that wait, as an operator sees them."""
    listed: list[dict[str, Any]] = json.loads(await regulars(world, "dead-letters", "list", "--json"))
    return listed


async def test_bad_documents_of_a_storefront_are_put_aside(world: World) -> None:
    good = Load("over-the-bus", 200).orders
    poison = {
        "unknown currency": submitted(order("p-1", "p", 100, YESTERDAY, currency="XYZ")),
        "unknown field": submitted(order("p-2", "p", 100, YESTERDAY, colour="red")),
        "not JSON": submitted(b'{"source": "shop", '),
    }
    records = [submitted(document) for document in good]
    for place, record in enumerate(poison.values(), 1):
        records.insert(50 * place, record)
    async with bus_of(world.platform.home) as bus:
        await bus.publish(records)
    world.books.enter(good)
    await drained(world.platform, letters={"members": len(poison)})

    waiting = await letters(world)
    assert {letter["topic"] for letter in waiting} == {"storefront.orders"}
    reasons = {letter["key"]: (letter["code"], letter["reason"]) for letter in waiting}
    assert reasons["p-1"][0] == reasons["p-2"][0] == "invalid_item"
    assert set(reasons) == {"p-1", "p-2", "?"}
    assert all(reason for _, reason in reasons.values())
    references = {letter["key"]: letter["letter"] for letter in waiting}
    shown = json.loads(await regulars(world, "dead-letters", "show", references["p-1"]))
    assert shown["value"]["currency"] == "XYZ"

    # Nothing has changed, so trying again ends where it began, and says so.
    await regulars(world, "dead-letters", "retry", *references.values())

    async def tried() -> bool:
        return [letter["attempts"] for letter in await letters(world)] == [2, 2, 2]

    await eventually(tried, poll_seconds=0.5)
    await regulars(world, "dead-letters", "drop", *references.values())
    await reconciled(world.platform, world.books, mails_twice=world.mails_twice)


async def test_retry_brings_back_what_was_refused_for_a_cause_that_is_gone(world: World) -> None:
    platform, books = world.platform, world.books
    # Somebody believed that nobody earns so many points at once, and told the database so.
    platform.postgres.sql(
        "ALTER TABLE entries ADD CONSTRAINT mistaken CHECK (points < 66000) NOT VALID", database="points"
    )
    load = Load("refused", 400)
    load.orders[200]["lines"][0]["unit_price_minor"] = 6_660_042
    await world.storefront.send(load)
    await drained(platform, letters={"points": 1})
    (letter,) = await letters(world)
    assert (letter["topic"], letter["type"]) == ("orders", "order.paid")
    assert "mistaken" in letter["reason"]
    figures = await summaries(platform)
    assert figures["points"]["earned_points"] == books.points - 66_600
    assert figures["analytics"]["orders"] == books.orders

    platform.postgres.sql("ALTER TABLE entries DROP CONSTRAINT mistaken", database="points")
    assert await regulars(world, "dead-letters", "retry", letter["letter"]) == "1 to be tried again\n"
    await reconciled(platform, books, mails_twice=world.mails_twice)
