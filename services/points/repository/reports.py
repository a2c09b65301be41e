"""Statements that only read: balances, entries, and the books as a whole."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """An account as it is now by the database's clock, whether or not the job has been round."""

    live_points: int
    due_points: int
    pending_points: int
    held_points: int
    debt_points: int
    earned_points: int
    spent_points: int
    expired_points: int
    clawed_back_points: int
    expirations: list[tuple[datetime, int]]


@dataclass(frozen=True, slots=True)
class EntryShown:
    """An entry as a list shows it."""

    sequence: int
    id: UUID
    kind: str
    contra: str
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


# One statement, so that account and lots are of one moment. Rows: one per date on which something expires;
# lots that never expire have none, and lots past their date are told apart by `due`.
BALANCE = text(
    """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
    SELECT accounts.pending_points, accounts.held_points, accounts.debt_points, accounts.earned_points,
           accounts.spent_points, accounts.expired_points, accounts.clawed_back_points,
           lot.expires_at, CAST(coalesce(lot.points, 0) AS bigint) AS points,
           coalesce(lot.expires_at <= clock.now, false) AS due
    FROM clock CROSS JOIN accounts
         LEFT JOIN LATERAL (
             SELECT expires_at, sum(remaining_points) AS points FROM lots
             WHERE lots.member_id = accounts.member_id AND remaining_points > 0
             GROUP BY expires_at
         ) AS lot ON true
    WHERE accounts.member_id = :member_id
    ORDER BY lot.expires_at NULLS LAST
    """
)

ENTRIES = text(
    """
    SELECT sequence, id, kind, contra, points, about_id, reference, rule_version, basis_minor, currency,
           actor, reason, occurred_at, recorded_at
    FROM entries
    WHERE member_id = :member_id AND sequence < :before
    ORDER BY sequence DESC LIMIT :limit
    """
)

DUE_LOTS = text(
    """
    SELECT count(*)
    FROM accounts JOIN lots ON lots.member_id = accounts.member_id AND lots.remaining_points > 0
    WHERE accounts.next_expiry_at <= clock_timestamp() AND lots.expires_at <= clock_timestamp()
    """
)

PARKED_REFUNDS = text("SELECT count(*) FROM order_refunds WHERE applied_at IS NULL")

# The books, each figure from the table that states it: lifetime points from entries, what is open from lots,
# and what the accounts believe from their own columns. `entries_sum` adds what members hold by their accounts
# to what the contra accounts hold by the entries, and is zero as long as nothing came from nowhere.
SUMMARY = text(
    """
    WITH entry AS (
        SELECT count(*) AS entries,
               coalesce(sum(points) FILTER (WHERE kind = 'earn'), 0) AS earned,
               coalesce(-sum(points) FILTER (WHERE kind = 'redeem'), 0) AS spent,
               coalesce(-sum(points) FILTER (WHERE kind = 'expire'), 0) AS expired,
               coalesce(-sum(points) FILTER (WHERE kind = 'claw_back'), 0) AS clawed_back,
               coalesce(-sum(points), 0) AS contra
        FROM entries
    ), lot AS (
        SELECT count(*) FILTER (WHERE remaining_points > 0) AS lots_open,
               count(*) FILTER (WHERE remaining_points > 0 AND expires_at <= clock_timestamp()) AS due_lots,
               coalesce(sum(remaining_points) FILTER (
                   WHERE expires_at IS NULL OR expires_at > clock_timestamp()), 0) AS live
        FROM lots
    ), account AS (
        SELECT count(*) AS accounts, coalesce(sum(held_points), 0) AS held,
               coalesce(sum(pending_points), 0) AS pending, coalesce(sum(debt_points), 0) AS debt,
               coalesce(sum(open_points + pending_points - debt_points), 0) AS balance
        FROM accounts
    ), mismatch AS (
        SELECT count(*) AS accounts
        FROM (SELECT member_id, open_points + pending_points AS open_points, debt_points
              FROM accounts) AS cached
             FULL JOIN (SELECT member_id, sum(remaining_points) AS points FROM lots GROUP BY member_id)
                  AS opened USING (member_id)
             FULL JOIN (SELECT member_id, sum(points) AS points FROM entries GROUP BY member_id)
                  AS entered USING (member_id)
        WHERE coalesce(cached.open_points, 0) <> coalesce(opened.points, 0)
              OR coalesce(cached.open_points - cached.debt_points, 0) <> coalesce(entered.points, 0)
    ), moved AS (
        SELECT count(*) AS lots
        FROM (SELECT lot_id, sum(points - returned_points) AS points FROM lot_moves GROUP BY lot_id) AS move
             FULL JOIN lots ON lots.id = move.lot_id
        WHERE lots.id IS NULL OR lots.points - lots.remaining_points <> coalesce(move.points, 0)
    )
    SELECT entry.earned AS earned_points, entry.expired AS expired_points, entry.spent AS spent_points,
           entry.clawed_back AS clawed_back_points, lot.live - account.held AS available_points,
           account.pending AS pending_points, account.held AS held_points, account.debt AS debt_points,
           account.accounts, lot.lots_open, entry.entries, account.balance + entry.contra AS entries_sum,
           mismatch.accounts + moved.lots AS lot_mismatches, lot.due_lots,
           (SELECT count(*) FROM redemptions) AS redemptions,
           (SELECT count(*) FROM order_refunds WHERE applied_at IS NULL) AS parked_refunds
    FROM entry, lot, account, mismatch, moved
    """
)


async def balance(session: AsyncSession, member_id: UUID) -> BalanceRow | None:
    """Return a member's account, or None if there is none yet."""
    rows = (await session.execute(BALANCE, {"member_id": member_id})).all()
    if not rows:
        return None
    account = rows[0]
    return BalanceRow(
        live_points=sum(row.points for row in rows if not row.due),
        due_points=sum(row.points for row in rows if row.due),
        pending_points=account.pending_points,
        held_points=account.held_points,
        debt_points=account.debt_points,
        earned_points=account.earned_points,
        spent_points=account.spent_points,
        expired_points=account.expired_points,
        clawed_back_points=account.clawed_back_points,
        expirations=[(row.expires_at, row.points) for row in rows if row.expires_at and not row.due],
    )


async def entries(session: AsyncSession, member_id: UUID, *, before: int, limit: int) -> list[EntryShown]:
    """Return up to `limit` entries of a member with a sequence below `before`, the newest first."""
    rows = await session.execute(ENTRIES, {"member_id": member_id, "before": before, "limit": limit})
    return [EntryShown(*row) for row in rows]


async def due_lots(session: AsyncSession) -> int:
    """Count lots past their date that still hold points."""
    return int((await session.execute(DUE_LOTS)).scalar_one())


async def parked_refunds(session: AsyncSession) -> int:
    """Count refunds whose order has not been paid yet."""
    return int((await session.execute(PARKED_REFUNDS)).scalar_one())


async def summary(session: AsyncSession) -> dict[str, int]:
    """Return the books in one consistent reading."""
    row = (await session.execute(SUMMARY)).one()
    return {name: int(value) for name, value in row._mapping.items()}
