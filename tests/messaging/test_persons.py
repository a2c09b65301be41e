"""Members that are one person get one message, whatever is heard first; apart again, each gets its own."""

import random
from typing import Any
from uuid import UUID

import pytest

from services.messaging import operations
from services.messaging.operations.unsubscribing import Unsubscription
from services.messaging.repository import sending
from shared.database import Database
from shared.events import Envelope, MemberMerged, MemberUnmerged
from tests.fixtures.services import emitted
from tests.messaging.people import NOW, consent, envelope, member, profile, upgrade
from tests.messaging.test_handlers import hear, state_of

ANA, BEA, EVE = member(1), member(2), member(3)


def merged(one: UUID, into: UUID, revision: int = 1) -> Envelope[Any]:
    return envelope(MemberMerged(surviving_id=into, merged_id=one, merged_at=NOW, revision=revision))


def unmerged(one: UUID, into: UUID, revision: int = 2) -> Envelope[Any]:
    return envelope(MemberUnmerged(surviving_id=into, merged_id=one, unmerged_at=NOW, revision=revision))


async def addresses(database: Database) -> list[tuple[UUID, str | None]]:
    """(member, address) of what would go out now."""
    async with database.transaction() as session:
        claimed = await sending.claim_due(
            session, channel="email", needs_address=True, limit=100, lease_seconds=60
        )
        return sorted((item.standing.member_id, item.contact.address) for item in claimed)


async def states(database: Database) -> list[tuple[UUID, str]]:
    return sorted((row[1], row[4]) for row in (await state_of(database))["messages"])


async def test_a_message_for_a_merged_member_goes_to_the_person(messaging_database: Database) -> None:
    await hear(messaging_database, envelope(profile(ANA)), envelope(profile(BEA)), envelope(profile(EVE)))
    await hear(messaging_database, merged(ANA, BEA), merged(BEA, EVE))
    await hear(messaging_database, envelope(upgrade(ANA)))
    assert await addresses(messaging_database) == [(ANA, f"{EVE}@example.test")]


async def test_what_waits_for_a_profile_goes_on_when_the_person_has_one(messaging_database: Database) -> None:
    await hear(messaging_database, envelope(upgrade(ANA)), envelope(profile(BEA)))
    assert await states(messaging_database) == [(ANA, "held")]
    await hear(messaging_database, merged(ANA, BEA))
    assert await states(messaging_database) == [(ANA, "queued")]


async def test_one_person_gets_one_message_for_one_occasion(messaging_database: Database) -> None:
    people = [envelope(profile(each)) for each in (ANA, BEA)]
    occasions = [envelope(upgrade(each), event_id=member(77)) for each in (ANA, BEA)]
    await hear(messaging_database, *people, *occasions)
    await hear(messaging_database, merged(ANA, BEA))
    assert sorted(state for _, state in await states(messaging_database)) == ["dropped", "queued"]
    async with messaging_database.reading() as session:
        dropped = [event for type_, _, event in await emitted(session) if type_ == "message.dropped"]
    assert [event["reason"] for event in dropped] == ["same_person"]
    more = [envelope(upgrade(each, "platinum"), event_id=member(78)) for each in (ANA, BEA)]
    await hear(messaging_database, *more)
    await hear(messaging_database, *more[::-1])
    assert len(await addresses(messaging_database)) == 2, "one for each of the two occasions"


async def test_unmerge_lets_each_have_its_own_again(messaging_database: Database) -> None:
    await hear(messaging_database, envelope(profile(ANA)), envelope(profile(BEA)), merged(ANA, BEA))
    await hear(messaging_database, unmerged(ANA, BEA), merged(ANA, BEA))
    await hear(messaging_database, envelope(upgrade(ANA)), envelope(upgrade(BEA)))
    assert await addresses(messaging_database) == sorted(
        (each, f"{each}@example.test") for each in (ANA, BEA)
    )


async def test_an_unsubscribe_link_speaks_for_the_person(messaging_database: Database) -> None:
    said = [consent(True)]
    await hear(messaging_database, *(envelope(profile(each, consents=said)) for each in (ANA, BEA)))
    await hear(messaging_database, merged(ANA, BEA))
    async with messaging_database.transaction() as session:
        assert await operations.unsubscribe(session, Unsubscription(ANA, "email", "marketing"))
    assert [row[3] for row in (await state_of(messaging_database))["consents"]] == [False, False]
    async with messaging_database.reading() as session:
        withdrawn = [key for type_, key, _ in await emitted(session) if type_ == "consent.withdrawn"]
    assert sorted(withdrawn) == sorted([str(ANA), str(BEA)])


@pytest.mark.parametrize("seed", range(3))
async def test_links_converge_in_any_order(seed: int, messaging_database: Database) -> None:
    story = [
        merged(ANA, BEA, 1),
        unmerged(ANA, BEA, 2),
        merged(ANA, EVE, 3),
        merged(BEA, EVE, 1),
        unmerged(BEA, EVE, 2),
        *(envelope(profile(each)) for each in (ANA, BEA, EVE)),
    ] * 2
    random.Random(seed).shuffle(story)
    for event in story:
        await hear(messaging_database, event)
    await hear(messaging_database, envelope(upgrade(ANA)), envelope(upgrade(BEA)))
    assert await addresses(messaging_database) == sorted(
        [(ANA, f"{EVE}@example.test"), (BEA, f"{BEA}@example.test")]
    )
