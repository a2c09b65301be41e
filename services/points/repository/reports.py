"""Statements that only read: balances, entries, and the books as a whole."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


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
    redemption_id: UUID | None


# What a hold spent is entered as a redemption is, and is none.
ENTRIES = text(
    """
    SELECT sequence, id, kind, contra, points, about_id, reference, rule_version, basis_minor, currency,
           actor, reason, occurred_at, recorded_at,
           CASE kind WHEN 'redeem' THEN (SELECT id FROM redemptions WHERE redemptions.id = about_id) END
               AS redemption_id
    FROM entries
    WHERE member_id = :member_id AND sequence < :before
    ORDER BY sequence DESC LIMIT :limit
    """
)

# Asked every few seconds, so it costs what is due and not what there is: the clock is read once, which lets
# the index find the accounts, and no more of them are looked at than a job needs to be called behind.
DUE_LOTS = text(
    """
    SELECT count(*)
    FROM (SELECT member_id, sliding_expires_at FROM accounts
          WHERE next_expiry_at <= (SELECT clock_timestamp())
          ORDER BY next_expiry_at LIMIT :accounts) AS due
         CROSS JOIN LATERAL (
             SELECT FROM lots
             WHERE lots.member_id = due.member_id AND lots.remaining_points > 0
                   AND lots.remaining_points > lots.pinned_points AND NOT lots.pending
                   AND CASE WHEN lots.sliding THEN due.sliding_expires_at ELSE lots.expires_at END
                       <= clock_timestamp()
         ) AS lot
    """
)

PARKED_REFUNDS = text("SELECT count(*) FROM order_refunds WHERE applied_at IS NULL")

# The books, each figure from the table that states it: lifetime points from entries, what is open from lots,
# and what the accounts believe from their own columns. `entries_sum` adds what members hold by their accounts
# to what the contra accounts hold by the entries, and is zero as long as nothing came from nowhere. What is
# open is judged by the clock as in a balance, whether or not a job has entered what time brought.
SUMMARY = text(
    """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now), entry AS (
        SELECT count(*) AS entries,
               coalesce(sum(points) FILTER (WHERE kind = 'earn'), 0) AS earned,
               coalesce(-sum(points) FILTER (WHERE contra = 'redemption'), 0) AS spent,
               coalesce(-sum(points) FILTER (WHERE kind = 'expire'), 0) AS expired,
               coalesce(-sum(points) FILTER (WHERE kind = 'claw_back'
                                             OR kind = 'reverse' AND contra = 'issuance'), 0) AS clawed_back,
               coalesce(-sum(points), 0) AS contra
        FROM entries
    ), lapsed AS (
        SELECT hold_lots.lot_id, sum(hold_lots.points) AS points
        FROM clock JOIN holds ON holds.status = 'held' AND holds.expires_at <= clock.now
             JOIN hold_lots ON hold_lots.hold_id = holds.id
        GROUP BY hold_lots.lot_id
    ), judged AS (
        SELECT accounts.member_id, accounts.debt_points, still.pending, lots.remaining_points,
               lots.pinned_points - coalesce(lapsed.points, 0) AS pinned_points,
               NOT still.pending
               AND coalesce(CASE WHEN lots.sliding THEN accounts.sliding_expires_at
                                 ELSE lots.expires_at END <= clock.now, false) AS due
        FROM clock CROSS JOIN lots JOIN accounts USING (member_id)
             LEFT JOIN lapsed ON lapsed.lot_id = lots.id
             CROSS JOIN LATERAL (
                 SELECT lots.pending AND (lots.matures_at IS NULL OR lots.matures_at > clock.now)
             ) AS still(pending)
        WHERE lots.remaining_points > 0
    ), opened AS (
        SELECT debt_points AS debt, count(*) AS lots,
               count(*) FILTER (WHERE due AND remaining_points > pinned_points) AS due_lots,
               coalesce(sum(remaining_points) FILTER (WHERE pending), 0) AS pending,
               sum(pinned_points) AS held,
               coalesce(sum(remaining_points - pinned_points) FILTER (WHERE due), 0) AS due,
               coalesce(sum(remaining_points - pinned_points) FILTER (WHERE NOT (due OR pending)), 0) AS free
        FROM judged GROUP BY member_id, debt_points
    ), lot AS (
        -- What became free by time repays debt, as in a balance: first what is due.
        SELECT coalesce(sum(lots), 0) AS lots_open, coalesce(sum(due_lots), 0) AS due_lots,
               coalesce(sum(pending), 0) AS pending, coalesce(sum(held), 0) AS held,
               coalesce(sum(free - least(free, debt - least(due, debt))), 0) AS live,
               coalesce(sum(least(free + due, debt)), 0) AS repaid
        FROM opened
    ), account AS (
        SELECT count(*) AS accounts, coalesce(sum(debt_points), 0) AS debt,
               coalesce(sum(open_points + pending_points - debt_points), 0) AS balance
        FROM accounts
    ), mismatch AS (
        SELECT count(*) AS accounts
        FROM (SELECT member_id, open_points + pending_points AS open_points, debt_points, pending_points,
                     held_points
              FROM accounts) AS cached
             FULL JOIN (SELECT member_id, sum(remaining_points) AS points,
                               sum(pinned_points) AS pinned_points,
                               sum(remaining_points) FILTER (WHERE pending) AS pending_points
                        FROM lots GROUP BY member_id) AS opened USING (member_id)
             FULL JOIN (SELECT member_id, sum(points) AS points FROM entries GROUP BY member_id)
                  AS entered USING (member_id)
        WHERE coalesce(cached.open_points, 0) <> coalesce(opened.points, 0)
              OR coalesce(cached.held_points, 0) <> coalesce(opened.pinned_points, 0)
              OR coalesce(cached.pending_points, 0) <> coalesce(opened.pending_points, 0)
              OR coalesce(cached.open_points - cached.debt_points, 0) <> coalesce(entered.points, 0)
    ), moved AS (
        SELECT count(*) AS lots
        FROM (SELECT lot_id, sum(points - returned_points) AS points FROM lot_moves GROUP BY lot_id) AS move
             FULL JOIN lots ON lots.id = move.lot_id
        WHERE lots.id IS NULL OR lots.points - lots.remaining_points <> coalesce(move.points, 0)
    )
    SELECT entry.earned AS earned_points, entry.expired AS expired_points, entry.spent AS spent_points,
           entry.clawed_back AS clawed_back_points, lot.live AS available_points,
           lot.pending AS pending_points, lot.held AS held_points, account.debt - lot.repaid AS debt_points,
           account.accounts, lot.lots_open, entry.entries, account.balance + entry.contra AS entries_sum,
           mismatch.accounts + moved.lots AS lot_mismatches, lot.due_lots,
           (SELECT count(*) FROM redemptions) AS redemptions,
           (SELECT count(*) FROM order_refunds WHERE applied_at IS NULL) AS parked_refunds
    FROM entry, lot, account, mismatch, moved
    """
)


async def entries(session: AsyncSession, member_id: UUID, *, before: int, limit: int) -> list[EntryShown]:
    """Return up to `limit` entries of a member with a sequence below `before`, the newest first."""
    rows = await session.execute(ENTRIES, {"member_id": member_id, "before": before, "limit": limit})
    return [EntryShown(*row) for row in rows]


async def due_lots(session: AsyncSession, *, accounts: int) -> int:
    """Count lots past their date that still hold points, in the `accounts` that have waited longest."""
    return int((await session.execute(DUE_LOTS, {"accounts": accounts})).scalar_one())


async def parked_refunds(session: AsyncSession) -> int:
    """Count refunds whose order has not been paid yet."""
    return int((await session.execute(PARKED_REFUNDS)).scalar_one())


async def summary(session: AsyncSession) -> dict[str, int]:
    """Return the books in one consistent reading."""
    row = (await session.execute(SUMMARY)).one()
    return {name: int(value) for name, value in row._mapping.items()}
