"""Names and proven addresses: who a customer is, and who looks like somebody else."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import ContactPoint, IncomingOrder, proof_of, resolve_customers
from services.members.errors import IdentityTaken, MemberNotFound, SuggestionNotFound
from services.members.operations.changes import Changes
from services.members.repository import identities as repository
from services.members.repository import people, suggestions
from services.members.repository.people import Customer
from services.members.repository.suggestions import Pair
from services.members.settings import settings
from shared.problems import Refusal

__all__ = [
    "Addressed",
    "Addressing",
    "Dismissal",
    "Dismissed",
    "Identified",
    "Identity",
    "add_addresses",
    "dismiss_suggestions",
    "identify_members",
    "ordered_pair",
    "read_suggestions",
    "recognise",
    "take_contact_points",
]

# Stands for the new member whom an unknown name would be, where none is made.
NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Identity:
    """That a source knows a member by a name."""

    member_id: UUID
    customer: Customer


@dataclass(frozen=True, slots=True)
class Identified:
    """What became of a name that was given to a member; `person_id` is who the member is now."""

    identity: Identity
    person_id: UUID
    changed: bool


@dataclass(frozen=True, slots=True)
class Addressing:
    """An address of a member, who is named by id or as a source knows them."""

    member: UUID | Customer
    point: ContactPoint


@dataclass(frozen=True, slots=True)
class Addressed:
    """An address that a person has now, or had."""

    person_id: UUID
    point: ContactPoint


@dataclass(frozen=True, slots=True)
class Dismissal:
    """That two members are two people, whatever they share; `actor` is who says so."""

    pair: Pair
    actor: str


@dataclass(frozen=True, slots=True)
class Dismissed:
    """What became of a dismissal."""

    pair: Pair
    changed: bool


async def recognise(
    session: AsyncSession, created: Mapping[Customer, UUID], orders: Collection[IncomingOrder]
) -> dict[Customer, UUID]:
    """Say who customers are whose names were just claimed for new members, by what they proved.

    Names of somebody known become theirs. Call it before members are locked.
    """
    proofs: dict[Customer, list[str]] = {}
    for order in orders:
        customer = (order.key[0], order.external_customer_id)
        if customer in created:
            proofs.setdefault(customer, []).extend(
                proof
                for point in order.contact_points
                if point.verified and (proof := proof_of(point.channel, point.address)) is not None
            )
    said = {proof for each in proofs.values() for proof in each}
    if not said:
        return dict(created)
    owners = await repository.owners_of_proofs(session, said)
    # In the order in which they came: of two new customers with one mailbox, the second is the first.
    in_order = {customer: created[customer] for customer in proofs} | dict(created)
    resolved = resolve_customers(in_order, proofs, owners)
    await repository.move_identities(
        session, {customer: id_ for customer, id_ in resolved.items() if id_ != created[customer]}
    )
    return resolved


async def take_contact_points(changes: Changes, points: Mapping[UUID, Sequence[ContactPoint]]) -> set[UUID]:
    """Add addresses of locked members; who proves one that others have too is suggested to be them.

    Returns whose addresses that changes.
    """
    for member_id in points:
        changes.members[member_id].is_bare = False
    added, proven = await repository.add_contact_points(
        changes.session, points, limit=settings().contact_points_per_member
    )
    for member_id in added:
        changes.members[member_id].has_new_profile = True
    await suggestions.suggest(changes.session, proven)
    return added


async def add_addresses(session: AsyncSession, commands: Sequence[Addressing]) -> list[Addressed | Refusal]:
    """Add addresses to members. One result per command, in their order.

    A name that no source has used before becomes one of the person whom the verified addresses lead to, and
    leads to nobody without: only an order makes a member.
    """
    names = {command.member for command in commands if not isinstance(command.member, UUID)}
    known = await people.member_ids(session, names)
    known |= await _led_to(
        session, [command for command in commands if command.member in names - known.keys()]
    )
    changes = await Changes.begin(session)
    ids = [
        command.member if isinstance(command.member, UUID) else known.get(command.member)
        for command in commands
    ]
    await changes.lock({member_id for member_id in ids if member_id is not None})
    points: dict[UUID, list[ContactPoint]] = {}
    results: list[Addressed | Refusal] = []
    for member_id, command in zip(ids, commands, strict=True):
        if member_id is None:
            results.append(MemberNotFound())
        elif (refusal := changes.refusal_of(member_id)) is not None:
            results.append(refusal)
        else:
            points.setdefault(member_id, []).append(command.point)
            results.append(Addressed(changes.person(member_id).id, command.point))
    await take_contact_points(changes, points)
    await changes.save()
    return results


async def _led_to(session: AsyncSession, commands: Sequence[Addressing]) -> dict[Customer, UUID]:
    """Make unknown names those of the persons whom their verified addresses lead to."""
    proofs: dict[Customer, list[str]] = {}
    for command in commands:
        proof = proof_of(command.point.channel, command.point.address) if command.point.verified else None
        if proof is not None and not isinstance(command.member, UUID):
            proofs.setdefault(command.member, []).append(proof)
    if not proofs:
        return {}
    owners = await repository.owners_of_proofs(session, {each for said in proofs.values() for each in said})
    nobody = dict.fromkeys(proofs, NOBODY)
    found = {name: id_ for name, id_ in resolve_customers(nobody, proofs, owners).items() if id_ != NOBODY}
    await repository.add_identities(session, found)
    return await people.member_ids(session, found.keys())


async def identify_members(session: AsyncSession, commands: Sequence[Identity]) -> list[Identified | Refusal]:
    """Give members further names. One result per command, in their order.

    A name that is the person's already is unchanged; one that is somebody else's is refused: whether two
    members are one person is decided by a merge.
    """
    # Names are locked before members, as intake does it; what a name was claimed for in vain is given back.
    there = await people.persons(session, {command.member_id for command in commands})
    claimed: dict[Customer, UUID] = {}
    for command in commands:
        if command.member_id in there and there[command.member_id].erased_at is None:
            claimed.setdefault(command.customer, command.member_id)
    fresh = await repository.add_identities(session, claimed)
    names = await people.member_ids(session, {command.customer for command in commands})
    changes = await Changes.begin(session)
    await changes.lock({command.member_id for command in commands} | set(names.values()))
    in_vain = {customer for customer in fresh if changes.refusal_of(claimed[customer]) is not None}
    await repository.remove_identities(session, in_vain)
    results: list[Identified | Refusal] = []
    for command in commands:
        results.append(_identified(changes, command, names.get(command.customer), fresh))
        fresh.discard(command.customer)
    return results


def _identified(
    changes: Changes, command: Identity, owner_id: UUID | None, fresh: Collection[Customer]
) -> Identified | Refusal:
    if (refusal := changes.refusal_of(command.member_id)) is not None:
        return refusal
    person = changes.person(command.member_id)
    owner = None if owner_id is None else changes.members.get(owner_id)
    if owner is None or owner.person_id != person.id:
        return IdentityTaken(**({} if owner is None else {"member_id": str(owner.person_id)}))
    return Identified(command, person.id, command.customer in fresh)


async def read_suggestions(
    session: AsyncSession, *, after: tuple[datetime, UUID, UUID] | None, limit: int
) -> Sequence[RowMapping]:
    """Return pairs that look like one person and that nobody has decided, the longest known first."""
    return await suggestions.page(session, after=after, limit=limit)


async def dismiss_suggestions(
    session: AsyncSession, commands: Sequence[Dismissal]
) -> list[Dismissed | Refusal]:
    """Say of pairs that they are two people; they are not suggested again. One result per command."""
    pairs = [ordered_pair(command.pair) for command in commands]
    decided = [(pair, command.actor) for pair, command in zip(pairs, commands, strict=True)]
    changed = await suggestions.decide(session, decided, state="dismissed", from_states=["open"])
    known = await suggestions.states(session, pairs)
    results: list[Dismissed | Refusal] = []
    for pair in pairs:
        results.append(Dismissed(pair, pair in changed) if pair in known else SuggestionNotFound())
        changed.discard(pair)
    return results


def ordered_pair(pair: Pair) -> Pair:
    """Return a pair with the lower id first."""
    return (min(pair), max(pair))
