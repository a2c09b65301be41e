"""Statements that show how a balance came about: entries with their details, lots, holds and refunds."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


class Step(NamedTuple):
    """An entry, with what the balance was after it."""

    member_id: UUID
    sequence: int
    id: UUID
    kind: str
    points: int
    about_id: UUID
    reference: str
    rule_version: int | None
    basis_minor: int | None
    currency: str | None
    actor: str
    reason: str
    occurred_at: datetime
    recorded_at: datetime
    detail: str | None
    running_points: int


class OpenLot(NamedTuple):
    """A lot that still holds points, and the order that earned it if one did."""

    id: UUID
    points: int
    remaining_points: int
    pinned_points: int
    pending: bool
    earned_at: datetime
    expires_at: datetime | None
    matures_at: datetime | None
    order_id: UUID | None


class OpenHold(NamedTuple):
    """Points promised to a purchase that is under way."""

    id: UUID
    points: int
    order_id: UUID | None
    reason: str
    held_at: datetime
    expires_at: datetime


class RefundHeard(NamedTuple):
    """A refund of an order; `applied_at` is None while it waits for the order to be paid."""

    refund_id: str
    amount_minor: int
    currency: str
    complete: bool
    refunded_at: datetime
    applied_at: datetime | None
    clawed_back_points: int


COLUMNS = """entries.member_id, entries.sequence, entries.id, entries.kind, entries.points, entries.about_id,
    entries.reference, entries.rule_version, entries.basis_minor, entries.currency, entries.actor,
    entries.reason, entries.occurred_at, entries.recorded_at, CAST(entries.detail AS text) AS detail"""

# The newest entries, with the sum of all before the first of them: the account is read once, by its index.
STEPS = text(
    f"""
    SELECT {COLUMNS},
           CAST(sum(entries.points) OVER (ORDER BY entries.sequence) AS bigint) AS running_points
    FROM entries
    WHERE entries.member_id = (SELECT coalesce(merged_into, member_id) FROM accounts
                               WHERE member_id = :member_id)
    ORDER BY entries.sequence DESC LIMIT :limit
    """  # noqa: S608 - a constant
)

ORDER_STEPS = text(
    f"""
    SELECT {COLUMNS},
           CAST(sum(entries.points) OVER (ORDER BY entries.recorded_at, entries.sequence) AS bigint)
               AS running_points
    FROM entries JOIN accounts USING (member_id)
    WHERE entries.about_id = :order_id
          AND coalesce(accounts.merged_into, accounts.member_id)
              = (SELECT coalesce(merged_into, member_id) FROM accounts WHERE member_id = :member_id)
    ORDER BY entries.recorded_at, entries.sequence
    """  # noqa: S608 - a constant
)

OPEN_LOTS = text(
    """
    SELECT lots.id, lots.points, lots.remaining_points, lots.pinned_points, lots.pending, lots.earned_at,
           CASE WHEN lots.sliding THEN accounts.sliding_expires_at ELSE lots.expires_at END AS expires_at,
           lots.matures_at, earned.about_id AS order_id
    FROM accounts AS asked
         JOIN accounts ON accounts.member_id = coalesce(asked.merged_into, asked.member_id)
         JOIN lots ON lots.member_id = accounts.member_id AND lots.remaining_points > 0
         LEFT JOIN LATERAL (
             SELECT entries.about_id FROM entries
             WHERE entries.member_id IN (lots.member_id, lots.origin_id) AND entries.id = lots.id
                   AND entries.kind = 'earn'
         ) AS earned ON true
    WHERE asked.member_id = :member_id
    ORDER BY expires_at NULLS LAST, lots.earned_at, lots.id
    LIMIT :limit
    """
)

OPEN_HOLDS = text(
    """
    SELECT holds.id, holds.points, holds.order_id, holds.reason, holds.held_at, holds.expires_at
    FROM accounts AS asked JOIN holds ON holds.member_id = coalesce(asked.merged_into, asked.member_id)
    WHERE asked.member_id = :member_id AND holds.status = 'held' AND holds.expires_at > clock_timestamp()
    ORDER BY holds.expires_at
    LIMIT :limit
    """
)

REFUNDS = text(
    """
    SELECT refund_id, amount_minor, currency, complete, refunded_at, applied_at, clawed_back_points
    FROM order_refunds
    WHERE order_id = :order_id AND (applied_at IS NOT NULL OR member_id = :member_id)
    ORDER BY refunded_at, refund_id
    """
)


async def steps(session: AsyncSession, member_id: UUID, *, limit: int) -> list[Step]:
    """Return the newest entries of the account that holds what a member has, the oldest of them first."""
    rows = (await session.execute(STEPS, {"member_id": member_id, "limit": limit})).all()
    return [Step(*row) for row in reversed(rows)]


async def order_steps(session: AsyncSession, member_id: UUID, order_id: UUID) -> list[Step]:
    """Return the entries about an order in the accounts of a member and of who they were merged with."""
    rows = await session.execute(ORDER_STEPS, {"member_id": member_id, "order_id": order_id})
    return [Step(*row) for row in rows]


async def open_lots(session: AsyncSession, member_id: UUID, *, limit: int) -> Sequence[OpenLot]:
    """Return lots that hold points, in the order in which spending takes them."""
    rows = await session.execute(OPEN_LOTS, {"member_id": member_id, "limit": limit})
    return [OpenLot(*row) for row in rows]


async def open_holds(session: AsyncSession, member_id: UUID, *, limit: int) -> Sequence[OpenHold]:
    """Return holds that are neither captured nor over, the soonest to lapse first."""
    rows = await session.execute(OPEN_HOLDS, {"member_id": member_id, "limit": limit})
    return [OpenHold(*row) for row in rows]


async def refunds(session: AsyncSession, member_id: UUID, order_id: UUID) -> Sequence[RefundHeard]:
    """Return the refunds of an order, those that wait for it only if they name this member."""
    rows = await session.execute(REFUNDS, {"order_id": order_id, "member_id": member_id})
    return [RefundHeard(*row) for row in rows]
