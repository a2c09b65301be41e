"""One person, one message: what follows when members turn out to be one person, or two after all.

Messages keep the member that they were planned for; where they go is asked when they go, of the person.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.domain import State
from services.messaging.operations.outcomes import announce
from services.messaging.operations.planning import replan
from services.messaging.repository import messages, planning
from services.messaging.repository.messages import Move
from shared import aliases
from shared.events import Envelope, MemberMerged, MemberUnmerged

__all__ = ["link_members", "with_aliases"]

SAME_PERSON = "same_person"


async def link_members(
    session: AsyncSession, events: Sequence[Envelope[MemberMerged | MemberUnmerged]]
) -> None:
    """Take in who is who, stop what one person would get twice, and let go on what waited for a profile."""
    await aliases.save_links(session, [event.data for event in events])
    ids = await with_aliases(session, {event.data.merged_id for event in events})
    doubles = await planning.take_doubles(session, ids)
    moves = [Move(each.id, each.epoch, State.DROPPED, SAME_PERSON, "planning") for each in doubles]
    moved = await messages.move(session, moves, [State.QUEUED, State.HELD])
    await announce(session, [(message, State.DROPPED) for message in moved])
    await replan(session, members=ids)


async def with_aliases(session: AsyncSession, ids: Collection[UUID]) -> set[UUID]:
    """Return these members and everybody who is the same person as one of them."""
    persons = await aliases.ids_of_persons(session, ids)
    return set(ids) | {each for others in persons.values() for each in others}
