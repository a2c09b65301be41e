"""Statements on accounts, entries and lots. Each works on a whole batch at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account, Lot
from services.points.repository.chain import CANONICAL, chained, heads
from shared.database import copy_rows
from shared.ids import new_ids

# UUIDs compare by this number, and numbers compare several times faster than UUIDs do.
IN_ORDER = attrgetter("int")


class EntryRow(NamedTuple):
    """A row of `entries`."""

    member_id: UUID
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
    # JSON, as it is to be written.
    detail: str | None = None


class Credit(NamedTuple):
    """What one account gets in a batch, in the order of CREDIT_ACCOUNTS; `entries` counts its entries."""

    member_id: UUID
    entries: int
    points: int
    next_expiry_at: datetime | None


class LotRow(NamedTuple):
    """A row of `lots` as it is opened."""

    id: UUID
    member_id: UUID
    points: int
    remaining_points: int
    earned_at: datetime
    expires_at: datetime | None


class MoveRow(NamedTuple):
    """A row of `lot_moves`, in the order of MOVE_POINTS."""

    lot_id: UUID
    entry_id: UUID
    points: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """What one account lost to expiry, and how it stands after it."""

    member_id: UUID
    entry_id: UUID
    points: int
    lots: int
    sequence: int
    open_points: int
    debt_points: int
    held_points: int
    expired_points: int
    next_expiry_at: datetime | None


OPEN_ACCOUNTS = text(
    """
    INSERT INTO accounts (member_id)
    SELECT unnest(CAST(:member_ids AS uuid[]))
    ON CONFLICT (member_id) DO NOTHING
    """
)

# Locks every account of the batch and credits the ordinary ones at once. One that owes points, or has lots to
# expire, is locked too but neither changed nor returned: what it gets has to be reckoned first.
CREDIT_ACCOUNTS = text(
    """
    INSERT INTO accounts (member_id, sequence, open_points, earned_points, next_expiry_at)
    SELECT credit.member_id, credit.entries, credit.points, credit.points, credit.expires_at
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS bigint[]), CAST(:p2 AS bigint[]),
                CAST(:p3 AS timestamptz[])) AS credit(member_id, entries, points, expires_at)
    ON CONFLICT (member_id) DO UPDATE
    SET sequence = accounts.sequence + excluded.sequence,
        open_points = accounts.open_points + excluded.open_points,
        earned_points = accounts.earned_points + excluded.earned_points,
        next_expiry_at = least(accounts.next_expiry_at, excluded.next_expiry_at)
    WHERE accounts.debt_points = 0
          AND (accounts.next_expiry_at IS NULL OR accounts.next_expiry_at > clock_timestamp())
    RETURNING member_id, sequence, open_points, held_points
    """
)

LOCK_ACCOUNTS = text(
    """
    SELECT member_id, sequence, open_points, debt_points, earned_points, spent_points, expired_points,
           clawed_back_points, held_points, next_expiry_at
    FROM accounts
    WHERE member_id = ANY(CAST(:member_ids AS uuid[]))
    ORDER BY member_id
    FOR UPDATE
    """
)

# The accounts of a job's chunk: those that someone else is working on settle themselves or are next time.
CLAIM_DUE_ACCOUNTS = text(
    """
    SELECT member_id FROM accounts
    WHERE next_expiry_at <= clock_timestamp()
    ORDER BY next_expiry_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
    """
)

DATABASE_NOW = text("SELECT clock_timestamp()")

KNOWN_EARNS = text(
    """
    SELECT about_id FROM entries
    WHERE about_id = ANY(CAST(:order_ids AS uuid[])) AND kind = 'earn' AND reference = ''
    """
)

MOVE_POINTS = text(
    """
    WITH move AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS bigint[]))
                      AS m(lot_id, entry_id, points)
    ), taken AS (
        UPDATE lots SET remaining_points = lots.remaining_points - lot.points
        FROM (SELECT lot_id, CAST(sum(points) AS bigint) AS points FROM move GROUP BY lot_id) AS lot
        WHERE lots.id = lot.lot_id
    )
    INSERT INTO lot_moves (lot_id, entry_id, points) SELECT lot_id, entry_id, points FROM move
    """
)

SAVE_ACCOUNTS = text(
    """
    UPDATE accounts SET sequence = new.sequence, open_points = new.open_points,
           debt_points = new.debt_points, earned_points = new.earned_points,
           spent_points = new.spent_points, expired_points = new.expired_points,
           clawed_back_points = new.clawed_back_points, next_expiry_at = new.next_expiry_at
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS bigint[]), CAST(:p2 AS bigint[]), CAST(:p3 AS bigint[]),
                CAST(:p4 AS bigint[]), CAST(:p5 AS bigint[]), CAST(:p6 AS bigint[]), CAST(:p7 AS bigint[]),
                CAST(:p8 AS timestamptz[]))
         AS new(member_id, sequence, open_points, debt_points, earned_points, spent_points, expired_points,
                clawed_back_points, next_expiry_at)
    WHERE accounts.member_id = new.member_id
    """
)

# The lots that could pay what each member needs, in spending order: soonest-expiring first, then oldest.
# Lots beyond what is needed stay in the database, unless they are asked for by id.
PAYING_LOTS = text(
    """
    SELECT id, member_id, remaining_points FROM (
        SELECT lots.id, lots.member_id, lots.remaining_points, lots.expires_at, lots.earned_at,
               need.points AS needed_points,
               sum(lots.remaining_points) OVER (
                   PARTITION BY lots.member_id ORDER BY lots.expires_at NULLS LAST, lots.earned_at, lots.id
               ) - lots.remaining_points AS points_before
        FROM unnest(CAST(:member_ids AS uuid[]), CAST(:points AS bigint[])) AS need(member_id, points)
             JOIN lots ON lots.member_id = need.member_id
        WHERE lots.remaining_points > 0 AND (lots.expires_at IS NULL OR lots.expires_at > :now)
    ) AS ranked
    WHERE points_before < needed_points OR id = ANY(CAST(:wanted_ids AS uuid[]))
    ORDER BY member_id, expires_at NULLS LAST, earned_at, id
    """
)

EXPIRE_DUE_LOTS = text(
    f"""
    WITH due AS MATERIALIZED (
        SELECT id, member_id, remaining_points FROM lots
        WHERE member_id = ANY(CAST(:member_ids AS uuid[])) AND remaining_points > 0 AND expires_at <= :now
    ), closed AS (
        UPDATE lots SET remaining_points = 0, expired_points = due.remaining_points
        FROM due WHERE lots.id = due.id
    ), total AS MATERIALIZED (
        SELECT account.member_id, account.entry_id, count(due.id) AS lots,
               CAST(coalesce(sum(due.remaining_points), 0) AS bigint) AS points
        FROM unnest(CAST(:member_ids AS uuid[]), CAST(:entry_ids AS uuid[])) AS account(member_id, entry_id)
             LEFT JOIN due ON due.member_id = account.member_id
        GROUP BY account.member_id, account.entry_id
    ), changed AS (
        UPDATE accounts SET open_points = accounts.open_points - total.points,
               expired_points = accounts.expired_points + total.points,
               sequence = accounts.sequence + CASE WHEN total.lots > 0 THEN 1 ELSE 0 END,
               next_expiry_at = (SELECT min(lots.expires_at) FROM lots
                                 WHERE lots.member_id = accounts.member_id AND lots.remaining_points > 0
                                       AND lots.expires_at > :now)
        FROM total WHERE accounts.member_id = total.member_id
        RETURNING accounts.member_id, total.entry_id, total.points, total.lots, accounts.sequence,
                  accounts.open_points, accounts.debt_points, accounts.held_points, accounts.expired_points,
                  accounts.next_expiry_at
    ), entry AS MATERIALIZED (
        SELECT member_id, sequence, entry_id AS id, 'expire' AS kind, 'expiry' AS contra, -points AS points,
               entry_id AS about_id, '' AS reference, CAST(NULL AS integer) AS rule_version,
               CAST(NULL AS bigint) AS basis_minor, CAST(NULL AS text) AS currency, 'points' AS actor,
               'Points passed their date' AS reason, CAST(:now AS timestamptz) AS occurred_at,
               CAST(NULL AS json) AS detail, CAST(:now AS timestamptz) AS recorded_at
        FROM changed WHERE lots > 0
    ), entered AS (
        INSERT INTO entries (member_id, sequence, id, kind, contra, points, about_id, reference, rule_version,
                             basis_minor, currency, actor, reason, occurred_at, detail, recorded_at, hash)
        SELECT entry.*,
               sha256(CASE WHEN entry.sequence = 1 THEN decode('', 'hex') ELSE before.hash END || {CANONICAL})
        FROM entry LEFT JOIN entries AS before
             ON before.member_id = entry.member_id AND before.sequence = entry.sequence - 1
    ), moved AS (
        INSERT INTO lot_moves (lot_id, entry_id, points)
        SELECT due.id, total.entry_id, due.remaining_points
        FROM due JOIN total ON total.member_id = due.member_id
    )
    SELECT * FROM changed ORDER BY member_id
    """  # noqa: S608 - a constant
)


async def _write(session: AsyncSession, statement: TextClause, rows: Sequence[Any], **more: Any) -> None:
    """Run a statement whose parameters p0, p1, … are the columns of `rows`."""
    if rows:
        columns = {f"p{number}": column for number, column in enumerate(zip(*rows, strict=True))}
        await session.execute(statement, columns | more)


async def lock_accounts(session: AsyncSession, member_ids: Iterable[UUID]) -> dict[UUID, Account]:
    """Open the accounts that do not exist yet and lock all of them, in the order of their ids.

    The insert comes first and as a whole: it waits for whoever is opening the same account, so that
    afterwards all rows exist and two batches can only queue up, never wait for each other in a circle.
    """
    ordered = sorted(set(member_ids), key=IN_ORDER)
    await session.execute(OPEN_ACCOUNTS, {"member_ids": ordered})
    return await lock_known_accounts(session, ordered)


async def credit_accounts(session: AsyncSession, given: Iterable[Credit]) -> dict[UUID, Account]:
    """Lock all the accounts and credit those that owe nothing and have nothing due.

    Returns the credited ones as they were before, with the figures that posting needs; the others have to be
    loaded, and are posted to in the ordinary way.
    """
    by_member = {
        credit.member_id: credit for credit in sorted(given, key=lambda credit: credit.member_id.int)
    }
    if not by_member:
        return {}
    columns = zip(*by_member.values(), strict=True)
    rows = await session.execute(
        CREDIT_ACCOUNTS, {f"p{number}": column for number, column in enumerate(columns)}
    )
    accounts: dict[UUID, Account] = {}
    for member_id, sequence, open_points, held_points in rows:
        credit = by_member[member_id]
        accounts[credit.member_id] = Account(
            credit.member_id,
            sequence - credit.entries,
            open_points - credit.points,
            held_points=held_points,
        )
    return accounts


async def lock_known_accounts(session: AsyncSession, member_ids: Iterable[UUID]) -> dict[UUID, Account]:
    """Lock those of the accounts that exist, in the order of their ids."""
    rows = await session.execute(LOCK_ACCOUNTS, {"member_ids": sorted(set(member_ids), key=IN_ORDER)})
    return {row[0]: Account(*row) for row in rows}


async def claim_due_accounts(session: AsyncSession, limit: int) -> list[UUID]:
    """Lock up to `limit` accounts with lots to expire, passing over those that are locked already."""
    return sorted((await session.scalars(CLAIM_DUE_ACCOUNTS, {"limit": limit})).all(), key=IN_ORDER)


async def database_now(session: AsyncSession) -> datetime:
    """Return the database's clock, which judges every deadline."""
    now: datetime = (await session.execute(DATABASE_NOW)).scalar_one()
    return now


async def known_earns(session: AsyncSession, order_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the orders that have earned before."""
    return set((await session.scalars(KNOWN_EARNS, {"order_ids": order_ids})).all())


async def add_entries(session: AsyncSession, rows: Sequence[EntryRow], *, recorded_at: datetime) -> None:
    """Append entries, those of an account in their order; each one's hash goes on from the one before.

    A natural key that exists already is a violation, never a second posting.
    """
    if rows:
        # Backwards, so that what remains of each account is its first row.
        before = {row.member_id: row.sequence - 1 for row in reversed(rows)}
        links = await heads(session, before)
        columns = (*EntryRow._fields, "recorded_at", "hash")
        await copy_rows(session, "entries", columns, chained(rows, links, recorded_at=recorded_at))


async def open_lots(session: AsyncSession, rows: Sequence[LotRow]) -> None:
    """Open lots with all their points remaining."""
    if rows:
        await copy_rows(session, "lots", LotRow._fields, rows)


async def move_points(session: AsyncSession, rows: Sequence[MoveRow]) -> None:
    """Take points out of lots and record which entry took them."""
    await _write(session, MOVE_POINTS, rows)


async def save_accounts(session: AsyncSession, accounts: Iterable[Account]) -> None:
    """Write back locked accounts."""
    rows = [
        (
            account.member_id,
            account.sequence,
            account.open_points,
            account.debt_points,
            account.earned_points,
            account.spent_points,
            account.expired_points,
            account.clawed_back_points,
            account.next_expiry_at,
        )
        for account in accounts
    ]
    await _write(session, SAVE_ACCOUNTS, rows)


async def paying_lots(
    session: AsyncSession,
    needs: dict[UUID, int],
    *,
    now: datetime,
    wanted_ids: Sequence[UUID] = (),
) -> dict[UUID, list[Lot]]:
    """Return, per member, the live lots that could pay what is needed, in spending order."""
    rows = await session.execute(
        PAYING_LOTS,
        {
            "member_ids": list(needs),
            "points": list(needs.values()),
            "now": now,
            "wanted_ids": list(wanted_ids),
        },
    )
    lots: dict[UUID, list[Lot]] = {member_id: [] for member_id in needs}
    for row in rows:
        lots[row.member_id].append(Lot(row.id, row.remaining_points))
    return lots


async def expire_due_lots(
    session: AsyncSession, member_ids: Sequence[UUID], *, now: datetime
) -> list[Expiry]:
    """Expire what is due in these locked accounts: one entry for each that loses something.

    Returns every account, also those that lost nothing, with the moment to look at it next.
    """
    if not member_ids:
        return []
    rows = await session.execute(
        EXPIRE_DUE_LOTS,
        {"member_ids": list(member_ids), "entry_ids": new_ids(len(member_ids)), "now": now},
    )
    return [Expiry(*row) for row in rows]
