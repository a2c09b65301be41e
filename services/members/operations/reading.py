"""What the API shows: nothing here decides or changes anything."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import ConsentState, Ladder, Member, consents_of, proof_of
from services.members.errors import MemberNotFound, OrderNotFound
from services.members.repository import aliases, consents, orders, people, program, returns
from services.members.repository.consents import Key
from services.members.settings import settings

__all__ = [
    "find_member",
    "judged",
    "read_member",
    "read_members",
    "read_order",
    "read_orders_of_member",
    "read_refunds",
    "read_tiers",
    "search_members",
]


async def read_order(session: AsyncSession, order_id: UUID) -> RowMapping:
    """Return one order with its lines; raises OrderNotFound."""
    row = await orders.order(session, order_id)
    if row is None:
        raise OrderNotFound
    return row


async def read_orders_of_member(
    session: AsyncSession, member_id: UUID, *, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return the orders of the person behind a member, the latest first; raises MemberNotFound."""
    person_ids = await aliases.ids_of_person(session, member_id)
    if not person_ids:
        raise MemberNotFound
    return await orders.orders_of_member(session, person_ids, after=after, limit=limit)


async def read_refunds(
    session: AsyncSession, state: str, *, after: tuple[datetime, str] | None, limit: int
) -> Sequence[RowMapping]:
    """Return refunds that are parked or were refused late, the longest known first."""
    return await returns.refunds_page(session, state, after=after, limit=limit)


async def read_member(session: AsyncSession, member_id: UUID) -> Mapping[str, Any]:
    """Return the person behind a member with everything that is known; raises MemberNotFound."""
    found = await people.whole_members(session, [member_id])
    if member_id not in found:
        raise MemberNotFound
    (person,) = await judged(session, [found[member_id]])
    return person


async def find_member(session: AsyncSession, source: str, external_id: str) -> list[Mapping[str, Any]]:
    """Return the person whom a source knows by an id, or nobody."""
    ids = await people.member_ids(session, [(source, external_id)])
    return await judged(session, list((await people.whole_members(session, ids.values())).values()))


async def search_members(session: AsyncSession, words: str, *, limit: int) -> list[Mapping[str, Any]]:
    """Return persons whom any source knows by an id, or who proved an address theirs; several may."""
    proofs = [proof for channel in ("email", "phone") if (proof := proof_of(channel, words)) is not None]
    ids = await people.ids_found(session, words, proofs, limit=limit)
    found = (await people.whole_members(session, ids)).values()
    return await judged(session, list({row["member_id"]: row for row in found}.values()))


async def read_members(
    session: AsyncSession, *, after: UUID | None, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Return persons in the order in which they joined."""
    return await judged(session, await people.members_page(session, after=after, limit=limit))


async def judged(session: AsyncSession, rows: Sequence[RowMapping]) -> list[Mapping[str, Any]]:
    """Judge what holds of attributes and consents where several ids of a person have them."""
    several = [row["member_id"] for row in rows if row["merged_ids"]]
    if not several:
        return [dict(row) for row in rows]
    members = await people.persons(session, several)
    said = await consents.consent_states(session, members)
    return [
        _judged_by(row, members[row["member_id"]], said) if row["merged_ids"] else dict(row) for row in rows
    ]


def _judged_by(row: RowMapping, person: Member, said: Mapping[Key, ConsentState]) -> dict[str, Any]:
    ids = set(person.person_ids)
    held = consents_of(person, {key: state for key, state in said.items() if key[0] in ids})
    words = {
        (word["channel"], word["purpose"], word["granted"], datetime.fromisoformat(word["stated_at"])): word
        for word in row["consents"]
    }
    holding = [
        words[channel, purpose, state.granted, state.stated_at]
        for (channel, purpose), state in sorted(held.items())
    ]
    return {**row, **person.person_attributes, "consents": holding}


async def read_tiers(session: AsyncSession) -> Ladder:
    """Return the tier table that holds now."""
    return (await program.rules(session, settings().program_time_zone)).ladder
