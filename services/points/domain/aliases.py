"""Aliases: whose account holds what comes under a member's id."""

from collections.abc import Iterable, Mapping
from uuid import UUID


def roots(surviving: Mapping[UUID, UUID], members: Iterable[UUID]) -> dict[UUID, UUID]:
    """Follow merges from each member to the one who stands for the person, A to B and B to C.

    `surviving` has an item for every member that is merged now. Should merges ever lead in a circle, the
    smallest id of the circle stands for all of it: what everybody finds alike is better than what nobody
    finds.
    """
    found: dict[UUID, UUID] = {}
    for member in members:
        path: list[UUID] = []
        at = member
        while at in surviving and at not in path:
            path.append(at)
            at = surviving[at]
        found[member] = min(path[path.index(at) :]) if at in path else at
    return found
