"""Erasing members: nothing personal stays, the books do, and nothing brings anybody back."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Erasure, IncomingOrder, OrderKey, fingerprint, owner_of_late_order
from services.members.errors import MemberNotFound
from services.members.operations.changes import Changes
from services.members.repository import erasure as repository
from services.members.repository import people
from services.members.repository.people import Customer
from services.members.settings import settings
from shared import dead_letters, idempotency, outbox
from shared.clock import utc_now
from shared.events import TOPICS, MemberErased, MemberProfile, MemberProfileErased
from shared.problems import Refusal

__all__ = ["Erased", "erase_members", "fingerprint_of", "members_of_late_orders"]

log = structlog.get_logger("regulars.members")

# Records of these topics quote people; all others carry ids.
PERSONAL_TOPICS = tuple(name for name, topic in TOPICS.items() if topic.personal)

# Dead letters read at a time while one erasure looks through all of them.
LETTERS_PAGE = 500

# Shorter words are found only as whole strings: in the middle of a text they would be anybody's.
SEARCHED_IN_TEXT_CHARACTERS = 6


@dataclass(slots=True)
class Erased:
    """An erased person; `gone` counts what went by kind, `kept` what the books still need."""

    member_id: UUID
    erased_at: datetime
    changed: bool
    gone: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)


def fingerprint_of(customer: Customer) -> bytes:
    """Return the keyed hash of a customer's name, by the key that signs now."""
    return fingerprint(*customer, settings().signing_keys[0].get_secret_value().encode())


async def members_of_late_orders(
    session: AsyncSession, orders: Collection[IncomingOrder]
) -> dict[OrderKey, UUID]:
    """Return, of orders placed by members who were erased since, the member whose books they belong to."""
    if not orders:
        return {}
    keys = [key.get_secret_value().encode() for key in settings().signing_keys]
    names = {
        order.key: [fingerprint(order.key[0], order.external_customer_id, key) for key in keys]
        for order in orders
    }
    known = await repository.old_names(session, {name for each in names.values() for name in each})
    owners = {
        order.key: owner_of_late_order(
            [old for name in names[order.key] for old in known.get(name, ())], order.placed_at
        )
        for order in orders
    }
    return {key: owner for key, owner in owners.items() if owner is not None}


async def erase_members(
    session: AsyncSession, commands: Sequence[Erasure], *, actor: str
) -> list[Erased | Refusal]:
    """Erase members, each with all who were merged into the same person. One result per command, in order.

    Who is erased already stays so.
    """
    customers = {command.customer for command in commands if command.customer is not None}
    known = await people.member_ids(session, customers)
    ids = [_target(command, known) for command in commands]
    changes = await Changes.begin(session)
    await changes.lock({member_id for member_id in ids if member_id is not None})
    # Whoever was merged is one person, whichever of the ids is named.
    persons = {
        member_id: changes.members[member_id].person_id for member_id in ids if member_id in changes.members
    }
    done: dict[UUID, Erased] = {}
    fresh: dict[UUID, list[UUID]] = {}
    for person_id in dict.fromkeys(persons.values()):
        person = changes.members[person_id]
        if person.erased_at is None:
            fresh[person_id] = person.person_ids
        else:
            done[person_id] = Erased(person_id, person.erased_at, False)
    if fresh:
        await _erase(changes, fresh, done)
        log.info("members.erased", members=[str(person_id) for person_id in fresh], actor=actor)
    results: list[Erased | Refusal] = []
    seen: set[UUID] = set()
    for member_id in ids:
        if member_id is None or member_id not in persons:
            results.append(MemberNotFound())
            continue
        answer = done[persons[member_id]]
        results.append(replace(answer, changed=False) if answer.member_id in seen else answer)
        seen.add(answer.member_id)
    return results


def _target(command: Erasure, known: Mapping[Customer, UUID]) -> UUID | None:
    return command.member_id if command.customer is None else known.get(command.customer)


async def _erase(changes: Changes, persons: Mapping[UUID, Sequence[UUID]], done: dict[UUID, Erased]) -> None:
    """Erase locked persons with all their ids, every trace in this service, and say so."""
    session, at = changes.session, utc_now()
    ids = sorted(member_id for each in persons.values() for member_id in each)
    traces = await _traces(changes, ids)
    gone = await _sweep(session, traces)
    await repository.keep_fingerprints(
        session, [(fingerprint_of(name), trace.member_id) for trace in traces for name in trace.names], at=at
    )
    gone |= await repository.forget_rows(session, ids)
    await repository.clear_members(session, ids, at=at)
    orders = await repository.silence_orders(session, ids)
    await repository.silence_returns(session, {key for trace in traces for key in trace.order_keys})
    await repository.silence_merges(session, ids)
    await outbox.erase(session, MemberProfile.topic, [str(member_id) for member_id in ids])
    for person_id, members in persons.items():
        done[person_id] = Erased(
            person_id,
            at,
            True,
            gone={kind: sum(counts.get(each, 0) for each in members) for kind, counts in gone.items()},
            kept={"orders": sum(orders.get(each, 0) for each in members), "ids": len(members)},
        )
    for member_id in ids:
        changes.events += [
            MemberErased(member_id=member_id, erased_at=at),
            MemberProfileErased(member_id=member_id),
        ]
    changes.figures["erased"] += len(ids)
    await changes.save()


@dataclass(frozen=True, slots=True)
class _Trace:
    """What tells of one member in records and answers that were kept whole."""

    member_id: UUID
    display_name: str | None
    names: list[Customer]
    addresses: list[str]
    order_keys: list[OrderKey]

    @property
    def words(self) -> set[str]:
        """What to look for in answers."""
        words = {str(self.member_id), *self.addresses, *(external_id for _, external_id in self.names)}
        return words | {self.display_name} if self.display_name else words

    def told_by(self, value: bytes) -> bool:
        """Say whether a raw order document is the member's, whatever is wrong with it."""
        try:
            document = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            text = value.decode("utf-8", "replace").casefold()
            words = [*self.addresses, *(external_id for _, external_id in self.names)]
            return any(len(word) >= SEARCHED_IN_TEXT_CHARACTERS and word.casefold() in text for word in words)
        strings = {text.casefold() for text in _strings(document)}
        return (
            any(address.casefold() in strings for address in self.addresses)
            or any({source.casefold(), name.casefold()} <= strings for source, name in self.names)
            or any({part.casefold() for part in key} <= strings for key in self.order_keys)
        )


async def _traces(changes: Changes, ids: Sequence[UUID]) -> list[_Trace]:
    names, addresses = await repository.personal_words(changes.session, ids)
    keys = await repository.order_keys(changes.session, ids)
    return [
        _Trace(
            member_id,
            changes.members[member_id].display_name,
            names[member_id],
            addresses[member_id],
            keys[member_id],
        )
        for member_id in ids
    ]


async def _sweep(session: AsyncSession, traces: Sequence[_Trace]) -> dict[str, Mapping[UUID, int]]:
    """Empty dead letters and delete answers that tell of members; return how many, by kind and member."""
    letters: dict[int, UUID] = {}
    after_id = 0
    while page := await dead_letters.letters_of(
        session, PERSONAL_TOPICS, after_id=after_id, limit=LETTERS_PAGE
    ):
        after_id = page[-1].id
        for letter in page:
            for trace in traces:
                if letter.value and trace.told_by(letter.value):
                    letters[letter.id] = trace.member_id
    await dead_letters.erase(session, list(letters))
    of_word = {word: trace.member_id for trace in traces for word in trace.words}
    answers: Counter[UUID] = Counter()
    for word, count in (await idempotency.forget(session, of_word)).items():
        answers[of_word[word]] += count
    return {"dead_letters": Counter(letters.values()), "answers": answers}


def _strings(value: Any) -> Iterator[str]:
    """Every string of a JSON document, and every number as a careless producer would have meant it."""
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            pending += current.values()
        elif isinstance(current, list):
            pending += current
        elif isinstance(current, str):
            yield current
        elif isinstance(current, int | float):
            yield str(current)
