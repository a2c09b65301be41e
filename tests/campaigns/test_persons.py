"""Members that are one person have one limit and one seat, whatever is heard first; apart, each its own."""

import random

import pytest

from services.campaigns.operations import Held
from shared.clock import utc_now
from shared.database import Database
from shared.events import MemberMerged, MemberUnmerged
from tests.campaigns.building import (
    activity,
    attempt_join,
    attempt_open,
    codes,
    group_state,
    hear,
    joined,
    member,
    open_group,
    paid,
)


def merged(one: int, into: int, revision: int = 1) -> MemberMerged:
    return MemberMerged(
        surviving_id=member(into), merged_id=member(one), merged_at=utc_now(), revision=revision
    )


def unmerged(one: int, into: int, revision: int = 2) -> MemberUnmerged:
    return MemberUnmerged(
        surviving_id=member(into), merged_id=member(one), unmerged_at=utc_now(), revision=revision
    )


async def test_a_purchase_limit_counts_for_the_person(campaigns_database: Database) -> None:
    database = campaigns_database
    activity_id = await activity(database, group_size=9, units_per_member=3)
    first, second = [await open_group(database, activity_id, number) for number in (8, 9)]
    await joined(database, first.seat.group_id, 1, quantity=2)
    await hear(database, merged(1, 2))
    refused = await attempt_join(database, second.seat.group_id, 2, quantity=2)
    assert codes(refused) == ["member_limit_exceeded"]
    assert codes(await attempt_join(database, second.seat.group_id, 2, quantity=1)) == ["held"]
    # Apart again, each has taken what it took under its own id.
    await hear(database, unmerged(1, 2))
    third = await open_group(database, activity_id, 7)
    assert codes(await attempt_join(database, third.seat.group_id, 2, quantity=3)) == [
        "member_limit_exceeded"
    ]
    assert codes(await attempt_join(database, third.seat.group_id, 2, quantity=2)) == ["held"]
    assert codes(await attempt_join(database, third.seat.group_id, 1, quantity=1)) == ["held"]


async def test_a_person_opens_as_many_groups_as_one_member(campaigns_database: Database) -> None:
    database = campaigns_database
    activity_id = await activity(database, groups_per_member=1)
    await open_group(database, activity_id, 1)
    await hear(database, merged(2, 1))
    assert codes([await attempt_open(database, activity_id, 2)]) == ["group_limit_exceeded"]
    await hear(database, unmerged(2, 1))
    assert codes([await attempt_open(database, activity_id, 2)]) == ["held"]


async def test_a_person_has_one_seat_in_a_group(campaigns_database: Database) -> None:
    database = campaigns_database
    held = await open_group(database, await activity(database, group_size=3), 1)
    await hear(database, merged(1, 2), merged(2, 3))
    assert codes(await attempt_join(database, held.seat.group_id, 3)) == ["already_in_group"]


async def test_what_both_took_before_the_merge_stays(campaigns_database: Database) -> None:
    database = campaigns_database
    held = await open_group(database, await activity(database), 1)
    other = await joined(database, held.seat.group_id, 2)
    await hear(database, merged(1, 2), paid(other))
    assert await group_state(database, held.seat.group_id) == "formed"


@pytest.mark.parametrize("seed", range(3))
async def test_links_converge_in_any_order(seed: int, campaigns_database: Database) -> None:
    database = campaigns_database
    held = await open_group(database, await activity(database, group_size=9), 3)
    story = [merged(1, 2, 1), unmerged(1, 2, 2), merged(1, 3, 3), merged(2, 3, 1), unmerged(2, 3, 2)] * 2
    random.Random(seed).shuffle(story)
    for event in story:
        await hear(database, event)
    first, second = await attempt_join(database, held.seat.group_id, 1, 2)
    assert codes([first]) == ["already_in_group"]
    assert isinstance(second, Held)
