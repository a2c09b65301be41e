"""Records that come again, in another order and twice over, change nothing."""

import random
from collections.abc import Sequence
from typing import Any

from cli.databases import bus_of
from shared.bus import Bus, Outgoing, Record
from shared.ids import new_id
from tests.chaos.reconciliation import drained, reconciled, summaries
from tests.chaos.storefront import Load, submitted
from tests.chaos.world import World

__all__ = ["everything_comes_again"]

EVERYTHING = ("orders", "members", "member-profiles", "points", "messages")


async def records_of(bus: Bus, topics: Sequence[str]) -> list[Record]:
    """Everything that the topics hold."""
    group = f"replay-{new_id()}"
    subscription = bus.subscribe(group, topics)
    await subscription.start()
    found: list[Record] = []
    try:
        while sum((await bus.lag(group, topics)).values()):
            async with subscription.batch(5000, 1.0) as records:
                found += records
    finally:
        await subscription.close()
    return found


def again(record: Record, *, renamed: bool) -> Outgoing:
    """The record as it is published once more; `renamed` gives its event an id that nobody has met."""
    headers = tuple(
        (name, str(new_id()).encode() if renamed and name == "ce_id" else value)
        for name, value in record.headers
    )
    return Outgoing(topic=record.topic, key=record.key, value=record.value, headers=headers)


async def figures_of(world: World) -> dict[str, Any]:
    """What all services come to, beside the instant of the answer and the books of what arrived."""
    figures = await summaries(world.platform)
    for name in ("as_of", "revision", "events"):
        figures["analytics"].pop(name)
    return figures


async def everything_comes_again(world: World) -> None:
    """Send some orders, then publish every record of the bus twice more in any order: no figure moves."""
    chance = random.Random(1)
    over_the_bus = Load("handed-in", 100).orders
    async with bus_of(world.platform.home) as bus:
        await bus.publish([submitted(document) for document in over_the_bus])
        world.books.enter(over_the_bus)
        await world.storefront.send(Load("replayed", 200))
        await reconciled(world.platform, world.books, mails_twice=world.mails_twice)
        before = await figures_of(world)

        records = await records_of(bus, EVERYTHING)
        assert len(records) > 300
        copies = [again(record, renamed=False) for record in records * 2]
        # As from a storefront or an import that sends everything once more, under new names.
        copies += [again(record, renamed=True) for record in records if record.topic == "orders"]
        copies += [submitted(document) for document in over_the_bus * 2]
        chance.shuffle(copies)
        await bus.publish(copies)
    await drained(world.platform)
    assert await figures_of(world) == before
    await reconciled(world.platform, world.books, mails_twice=world.mails_twice)
