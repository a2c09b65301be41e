"""Statements that settle accounts: pending points mature and lots expire."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository.chain import CANONICAL
from shared.ids import new_ids


class DueAccount(NamedTuple):
    """An account that the job has locked; `plain` if it knows its head and only dated lots can be due."""

    member_id: UUID
    plain: bool


class Matured(NamedTuple):
    """A lot whose points can be spent from now on."""

    member_id: UUID
    lot_id: UUID
    points: int
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Expiry:
    """What one account lost to expiry, and how it stands after it."""

    member_id: UUID
    entry_id: UUID
    points: int
    lots: int
    sequence: int
    head: bytes
    open_points: int
    debt_points: int
    held_points: int
    next_expiry_at: datetime | None


# The accounts of a job's chunk: those that someone else is working on settle themselves or are next time.
# The clock is read once, by a query of its own: compared with what moves the index would be of no use.
CLAIM_DUE_ACCOUNTS = text(
    """
    SELECT member_id, pending_points = 0 AND held_points = 0 AND sliding_policy IS NULL
                      AND head_sequence >= sequence AS plain
    FROM accounts
    WHERE next_expiry_at <= (SELECT clock_timestamp())
    ORDER BY next_expiry_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
    """
)

MATURE_DUE = text(
    """
    UPDATE lots SET pending = false
    WHERE member_id = ANY(CAST(:member_ids AS uuid[])) AND pending AND remaining_points > 0
          AND matures_at <= :now
    RETURNING member_id, id, remaining_points, expires_at
    """
)

MATURE_ORDERS = text(
    """
    UPDATE lots SET pending = false, matures_at = :now
    FROM entries
    WHERE entries.about_id = ANY(CAST(:order_ids AS uuid[])) AND entries.kind = 'earn'
          AND lots.id = entries.id AND lots.pending AND lots.remaining_points > 0
          AND (lots.matures_at IS NULL OR NOT :undated_only)
    RETURNING lots.member_id, lots.id, lots.remaining_points, lots.expires_at
    """
)

# A lot is looked up once and then changed where it lies: nobody moves it meanwhile, since whoever changes a
# lot has its account locked. Of the canonical bytes only the first 64 differ from entry to entry: three ids,
# sequence and points. The rest is made once. The accounts know their heads, since they are locked.
EXPIRE_DUE_LOTS = text(
    f"""
    WITH due AS MATERIALIZED (
        SELECT ctid AS place, id, member_id, remaining_points - pinned_points AS points FROM lots
        WHERE member_id = ANY(CAST(:member_ids AS uuid[])) AND remaining_points > 0 AND expires_at <= :now
              AND remaining_points > pinned_points AND NOT pending
        UNION ALL
        SELECT lots.ctid, lots.id, lots.member_id, lots.remaining_points - lots.pinned_points
        FROM lots JOIN accounts USING (member_id)
        WHERE lots.member_id = ANY(CAST(:sliding_ids AS uuid[])) AND lots.remaining_points > 0
              AND lots.sliding AND lots.remaining_points > lots.pinned_points AND NOT lots.pending
              AND accounts.sliding_expires_at <= :now
    ), closed AS (
        UPDATE lots SET remaining_points = pinned_points,
                        expired_points = expired_points + remaining_points - pinned_points
        WHERE ctid = ANY(ARRAY(SELECT place FROM due))
    ), total AS MATERIALIZED (
        SELECT account.member_id, account.entry_id, count(due.id) AS lots,
               CASE WHEN count(due.id) > 0 THEN 1 ELSE 0 END AS entries,
               CAST(coalesce(sum(due.points), 0) AS bigint) AS points
        FROM unnest(CAST(:member_ids AS uuid[]), CAST(:entry_ids AS uuid[])) AS account(member_id, entry_id)
             LEFT JOIN due ON due.member_id = account.member_id
        GROUP BY account.member_id, account.entry_id
    ), said AS MATERIALIZED (
        SELECT 'expire' AS kind, 'expiry' AS contra, '' AS reference, CAST(NULL AS integer) AS rule_version,
               CAST(NULL AS bigint) AS basis_minor, CAST(NULL AS text) AS currency, 'points' AS actor,
               'Points passed their date' AS reason, CAST(:now AS timestamptz) AS occurred_at,
               CAST(NULL AS json) AS detail, CAST(NULL AS uuid) AS origin_id,
               CAST(:now AS timestamptz) AS recorded_at
    ), alike AS MATERIALIZED (
        SELECT substring({CANONICAL} FROM 65) AS bytes
        FROM (SELECT said.*, id, id AS member_id, id AS about_id, 1 AS sequence, 0 AS points
              FROM said CROSS JOIN (SELECT gen_random_uuid() AS id) AS any_id) AS entry
    ), changed AS (
        UPDATE accounts SET open_points = accounts.open_points - total.points,
               expired_points = accounts.expired_points + total.points,
               sequence = accounts.sequence + total.entries,
               head_sequence = accounts.head_sequence + total.entries,
               head = CASE total.entries WHEN 0 THEN accounts.head ELSE sha256(
                   accounts.head || uuid_send(accounts.member_id) || uuid_send(total.entry_id)
                   || uuid_send(total.entry_id) || int8send(accounts.sequence + 1) || int8send(-total.points)
                   || (SELECT bytes FROM alike)) END,
               next_expiry_at = least(
                   (SELECT min(lots.expires_at) FROM lots
                    WHERE lots.member_id = accounts.member_id AND lots.remaining_points > 0
                          AND lots.expires_at > :now),
                   CASE WHEN accounts.sliding_expires_at > :now THEN accounts.sliding_expires_at END,
                   CASE WHEN accounts.pending_points > 0 THEN
                       (SELECT min(lots.matures_at) FROM lots
                        WHERE lots.member_id = accounts.member_id AND lots.remaining_points > 0
                              AND lots.pending) END,
                   CASE WHEN accounts.held_points > 0 THEN
                       (SELECT min(holds.expires_at) FROM holds
                        WHERE holds.member_id = accounts.member_id AND holds.status = 'held') END
               )
        FROM total WHERE accounts.member_id = total.member_id
        RETURNING accounts.member_id, total.entry_id, total.points, total.lots, accounts.sequence,
                  accounts.head, accounts.open_points, accounts.debt_points, accounts.held_points,
                  accounts.next_expiry_at
    ), entered AS (
        INSERT INTO entries (member_id, sequence, id, points, about_id, hash, kind, contra, reference,
                             rule_version, basis_minor, currency, actor, reason, occurred_at, detail,
                             origin_id, recorded_at)
        SELECT member_id, sequence, entry_id, -points, entry_id, head, said.*
        FROM changed CROSS JOIN said WHERE lots > 0
    ), moved AS (
        INSERT INTO lot_moves (lot_id, entry_id, points)
        SELECT due.id, total.entry_id, due.points
        FROM due JOIN total ON total.member_id = due.member_id
    )
    SELECT * FROM changed ORDER BY member_id
    """  # noqa: S608 - a constant
)


async def claim_due_accounts(session: AsyncSession, limit: int) -> list[DueAccount]:
    """Lock up to `limit` accounts with something due, passing over those that are locked already."""
    rows = await session.execute(CLAIM_DUE_ACCOUNTS, {"limit": limit})
    return sorted((DueAccount(*row) for row in rows), key=lambda account: account.member_id.int)


async def mature_due(session: AsyncSession, member_ids: Sequence[UUID], *, now: datetime) -> list[Matured]:
    """Let lots of these locked accounts mature whose time has come."""
    rows = await session.execute(MATURE_DUE, {"member_ids": list(member_ids), "now": now})
    return [Matured(*row) for row in rows]


async def mature_orders(
    session: AsyncSession, order_ids: Sequence[UUID], *, now: datetime, undated_only: bool
) -> list[Matured]:
    """Let the pending lots that these orders earned mature; their accounts are locked.

    `undated_only` leaves those alone that mature at a moment of their own.
    """
    rows = await session.execute(
        MATURE_ORDERS, {"order_ids": list(order_ids), "now": now, "undated_only": undated_only}
    )
    return [Matured(*row) for row in rows]


async def expire_due_lots(
    session: AsyncSession, member_ids: Sequence[UUID], *, sliding_ids: Sequence[UUID], now: datetime
) -> list[Expiry]:
    """Expire what is due in these locked accounts: one entry for each that loses something.

    `sliding_ids` are those of them that have a sliding date. Returns every account, also those that lost
    nothing, with the moment to look at it next.
    """
    rows = await session.execute(
        EXPIRE_DUE_LOTS,
        {
            "member_ids": list(member_ids),
            "sliding_ids": list(sliding_ids),
            "entry_ids": new_ids(len(member_ids)),
            "now": now,
        },
    )
    return [Expiry(*row) for row in rows]
