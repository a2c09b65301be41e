"""One person behind several member ids: aliases that nothing was rewritten for, and so can be taken back.

Whatever is said about a member stays with the id that it was said under. A person is the surviving member and
everybody merged into it, and is judged by all of it together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

__all__ = ["Link", "person_of", "persons"]


@dataclass(frozen=True, slots=True)
class Link:
    """That a member is an alias of `surviving_id` since `merged_at`; `person_id` is the end of the chain.

    `revision` counts the merges and unmerges of the member.
    """

    surviving_id: UUID
    person_id: UUID
    merged_at: datetime
    revision: int


def person_of(member_id: UUID, surviving: Mapping[UUID, UUID]) -> UUID:
    """Follow the aliases of a member to the end: A to B, B to C."""
    while (next_id := surviving.get(member_id)) is not None:
        member_id = next_id
    return member_id


def persons(member_ids: Iterable[UUID], surviving: Mapping[UUID, UUID]) -> dict[UUID, UUID]:
    """Return the person of each member."""
    return {member_id: person_of(member_id, surviving) for member_id in member_ids}
