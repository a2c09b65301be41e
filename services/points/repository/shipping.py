"""Statements on standing choices, and on what became of free shipping for an order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.writing import columns


@dataclass(frozen=True, slots=True)
class Choice:
    """The free shipping that a member wants on every order placed from `chosen_at` on."""

    member_id: UUID
    reward_id: UUID
    actor: str
    chosen_at: datetime


class Claim(NamedTuple):
    """An order whose free shipping is about to be decided, and for whom."""

    order_id: UUID
    member_id: UUID


class Decision(NamedTuple):
    """What was decided about a claimed order, in the order of DECIDE."""

    order_id: UUID
    status: str
    redemption_id: UUID | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Benefit:
    """What became of free shipping for an order."""

    order_id: UUID
    member_id: UUID
    status: str
    redemption_id: UUID | None
    reason: str | None
    decided_at: datetime


SAVE_CHOICES = text(
    """
    INSERT INTO member_choices (member_id, kind, reward_id, actor, chosen_at)
    SELECT member_id, 'free_shipping', reward_id, actor, clock_timestamp()
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS text[]))
         AS choice(member_id, reward_id, actor)
    ON CONFLICT (member_id, kind) DO UPDATE
    SET reward_id = excluded.reward_id, actor = excluded.actor, chosen_at = excluded.chosen_at
    WHERE member_choices.reward_id <> excluded.reward_id
    """
)

# The members asked for, each with all ids of the person.
_PERSONS = """
    unnest(CAST(:member_ids AS uuid[])) AS asked(member_id)
    LEFT JOIN accounts ON accounts.member_id = asked.member_id
    CROSS JOIN LATERAL (
        SELECT asked.member_id AS id
        UNION ALL SELECT accounts.merged_into
        UNION ALL SELECT alias.member_id FROM accounts AS alias
                  WHERE alias.merged_into = coalesce(accounts.merged_into, asked.member_id)
    ) AS person
"""

DROP_CHOICES = text(
    f"""
    DELETE FROM member_choices
    WHERE member_id = ANY(ARRAY(SELECT person.id FROM {_PERSONS})) AND kind = 'free_shipping'
    """  # noqa: S608 - a constant
)

# The latest choice of the person, whichever of their ids they made it under.
CHOICES = text(
    f"""
    SELECT DISTINCT ON (asked.member_id)
           asked.member_id, choice.reward_id, choice.actor, choice.chosen_at
    FROM {_PERSONS}
         JOIN member_choices AS choice ON choice.member_id = person.id AND choice.kind = 'free_shipping'
    ORDER BY asked.member_id, choice.chosen_at DESC
    """  # noqa: S608 - a constant
)

ANY_CHOICE = text("SELECT EXISTS (SELECT FROM member_choices WHERE kind = 'free_shipping')")

# Whoever inserts the row decides; until it is decided it says that nothing was applied.
CLAIM = text(
    """
    INSERT INTO order_benefits (order_id, member_id, status, reason, decided_at)
    SELECT order_id, member_id, 'refused', 'undecided', clock_timestamp()
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[])) AS claim(order_id, member_id)
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id
    """
)

DECIDE = text(
    """
    UPDATE order_benefits SET status = decision.status, redemption_id = decision.redemption_id,
           reason = decision.reason
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS uuid[]), CAST(:p3 AS text[]))
         AS decision(order_id, status, redemption_id, reason)
    WHERE order_benefits.order_id = decision.order_id
    """
)

RELEASE = text("DELETE FROM order_benefits WHERE order_id = ANY(CAST(:order_ids AS uuid[]))")

# An order that is called off has a row afterwards in any case, so that free shipping that is heard of later
# is not applied. Only the first to call it off is told what there is to undo.
CALL_OFF = text(
    """
    INSERT INTO order_benefits (order_id, member_id, status, decided_at)
    SELECT order_id, member_id, 'cancelled', clock_timestamp()
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[])) AS cancelled(order_id, member_id)
    ON CONFLICT (order_id) DO UPDATE
    SET status = 'cancelled', reason = NULL, decided_at = excluded.decided_at
    WHERE order_benefits.status <> 'cancelled'
    RETURNING redemption_id
    """
)

BENEFIT = text(
    """
    SELECT order_id, member_id, status, redemption_id, reason, decided_at FROM order_benefits
    WHERE order_id = :order_id
    """
)


async def save_choices(session: AsyncSession, chosen: Mapping[UUID, tuple[UUID, str]]) -> None:
    """Remember (reward, actor) as the choice of each member; who chose the same before chose it then."""
    if chosen:
        rows = sorted((member_id, *choice) for member_id, choice in chosen.items())
        await session.execute(SAVE_CHOICES, columns(rows))


async def drop_choices(session: AsyncSession, member_ids: Iterable[UUID]) -> None:
    """Forget the choices of members, under whichever of their ids they made them."""
    await session.execute(DROP_CHOICES, {"member_ids": sorted(member_ids)})


async def choices_of(session: AsyncSession, member_ids: Iterable[UUID]) -> dict[UUID, Choice]:
    """Return what each member wants, also if they said so under the id of one they were merged with."""
    rows = await session.execute(CHOICES, {"member_ids": list(member_ids)})
    return {row.member_id: Choice(*row) for row in rows}


async def anybody_chose(session: AsyncSession) -> bool:
    """Say whether any member wants free shipping on every order."""
    return bool((await session.execute(ANY_CHOICE)).scalar_one())


async def claim_orders(session: AsyncSession, claims: Iterable[Claim]) -> set[UUID]:
    """Claim orders whose free shipping nobody has decided before; return which."""
    rows = sorted(claims)
    if not rows:
        return set()
    return set((await session.scalars(CLAIM, columns(rows))).all())


async def decide_orders(session: AsyncSession, decisions: Sequence[Decision]) -> None:
    """Write down what was decided about claimed orders."""
    if decisions:
        await session.execute(DECIDE, columns(decisions))


async def release_orders(session: AsyncSession, order_ids: Iterable[UUID]) -> None:
    """Give claimed orders back: nothing was decided, and somebody may ask again."""
    ordered = sorted(order_ids)
    if ordered:
        await session.execute(RELEASE, {"order_ids": ordered})


async def call_off_orders(session: AsyncSession, claims: Iterable[Claim]) -> list[UUID]:
    """Mark orders as cancelled; return the redemptions that were applied to them until now."""
    rows = await session.scalars(CALL_OFF, columns(sorted(claims)))
    return [redemption_id for redemption_id in rows.all() if redemption_id is not None]


async def benefit(session: AsyncSession, order_id: UUID) -> Benefit | None:
    """Return what became of free shipping for an order."""
    row = (await session.execute(BENEFIT, {"order_id": order_id})).one_or_none()
    return Benefit(*row) if row is not None else None
