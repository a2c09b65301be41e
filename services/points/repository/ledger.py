"""Statements on accounts, entries and lots that batches work on. Each works on a whole batch at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account, Lot
from services.points.repository.chain import chained, heads
from shared.writing import Append, Write, append, columns, write

# UUIDs compare by this number, and numbers compare several times faster than UUIDs do.
IN_ORDER = attrgetter("int")

# An account in the order of SAVE_ACCOUNTS; `astuple` would copy each figure deeply.
FIGURES = attrgetter(*(field.name for field in fields(Account)))
NO_LINKS: Final[Mapping[UUID, bytes]] = {}


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
    origin_id: UUID | None = None


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
    pending: bool = False
    matures_at: datetime | None = None
    sliding: bool = False
    origin_id: UUID | None = None
    parent_id: UUID | None = None


class MoveRow(NamedTuple):
    """A row of `lot_moves`, in the order of ADD_MOVES."""

    lot_id: UUID
    entry_id: UUID
    points: int


# In the order of EntryRow, and what is the same for all or reckoned from the row.
ENTRIES = Append(
    "entries",
    member_id="uuid",
    sequence="bigint",
    id="uuid",
    kind="text",
    contra="text",
    points="bigint",
    about_id="uuid",
    reference="text",
    rule_version="integer",
    basis_minor="bigint",
    currency="text",
    actor="text",
    reason="text",
    occurred_at="timestamptz",
    detail="json",
    origin_id="uuid",
    recorded_at="timestamptz",
    hash="bytea",
)

# In the order of LotRow.
LOTS = Append(
    "lots",
    id="uuid",
    member_id="uuid",
    points="bigint",
    remaining_points="bigint",
    earned_at="timestamptz",
    expires_at="timestamptz",
    pending="boolean",
    matures_at="timestamptz",
    sliding="boolean",
    origin_id="uuid",
    parent_id="uuid",
)

OPEN_ACCOUNTS = text(
    """
    INSERT INTO accounts (member_id)
    SELECT unnest(CAST(:member_ids AS uuid[]))
    ON CONFLICT (member_id) DO NOTHING
    """
)

# Locks every account of the batch and credits the ordinary ones at once. One that owes points, is an alias,
# puts off its expiry with every activity or has something due is locked too but neither changed nor
# returned: what it gets has to be reckoned first. The answer is one row of columns, which is read in a
# fraction of the time that as many rows take, with the hash that the next entry of each account follows.
CREDIT_ACCOUNTS = text(
    """
    WITH credit AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS bigint[]), CAST(:p2 AS bigint[]),
                             CAST(:p3 AS timestamptz[])) AS c(member_id, entries, points, expires_at)
    ), credited AS (
        INSERT INTO accounts (member_id, sequence, open_points, earned_points, next_expiry_at)
        SELECT member_id, entries, points, points, expires_at FROM credit ORDER BY member_id
        ON CONFLICT (member_id) DO UPDATE
        SET sequence = accounts.sequence + excluded.sequence,
            open_points = accounts.open_points + excluded.open_points,
            earned_points = accounts.earned_points + excluded.earned_points,
            next_expiry_at = least(accounts.next_expiry_at, excluded.next_expiry_at)
        WHERE accounts.debt_points = 0 AND accounts.merged_into IS NULL AND accounts.sliding_policy IS NULL
              AND (accounts.next_expiry_at IS NULL OR accounts.next_expiry_at > clock_timestamp())
        RETURNING member_id, sequence, open_points, held_points
    ), before AS MATERIALIZED (
        SELECT member_id, credited.sequence - credit.entries AS sequence,
               credited.open_points - credit.points AS open_points, held_points
        FROM credited JOIN credit USING (member_id)
    )
    SELECT coalesce(array_agg(member_id), '{}'), array_agg(sequence), array_agg(open_points),
           array_agg(held_points),
           array_agg((SELECT hash FROM entries WHERE entries.member_id = before.member_id
                                                     AND entries.sequence = before.sequence))
    FROM before
    """
)

# An alias is followed before anything is locked, so that everybody locks accounts in the order of their ids.
LOCK_ACCOUNTS = text(
    """
    SELECT member_id, sequence, open_points, debt_points, earned_points, spent_points, expired_points,
           clawed_back_points, held_points, next_expiry_at, pending_points, adjusted_points,
           transferred_points, forfeited_points, sliding_policy, sliding_expires_at, merged_into
    FROM accounts
    WHERE member_id = ANY(ARRAY(
        SELECT coalesce(alias.merged_into, asked.id)
        FROM unnest(CAST(:member_ids AS uuid[])) AS asked(id)
             LEFT JOIN accounts AS alias ON alias.member_id = asked.id AND alias.merged_into IS NOT NULL
    ))
    ORDER BY member_id
    FOR UPDATE
    """
)

ROOTS = text(
    """
    SELECT member_id, merged_into FROM accounts
    WHERE member_id = ANY(CAST(:member_ids AS uuid[])) AND merged_into IS NOT NULL
    """
)

DATABASE_NOW = text("SELECT clock_timestamp()")

KNOWN_EARNS = text(
    """
    SELECT about_id FROM entries
    WHERE about_id = ANY(CAST(:order_ids AS uuid[])) AND kind = 'earn' AND reference = ''
    """
)

TAKE_FROM_LOTS = Write(
    """
    UPDATE lots SET remaining_points = lots.remaining_points - taken.points
    FROM (SELECT lot_id, CAST(sum(points) AS bigint) AS points
          FROM unnest(CAST(:p0 AS uuid[]), CAST(:p2 AS bigint[])) AS move(lot_id, points)
          GROUP BY lot_id) AS taken
    WHERE lots.id = taken.lot_id
    """
)

ADD_MOVES = Write(
    """
    INSERT INTO lot_moves (lot_id, entry_id, points)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS bigint[]))
    """
)

SAVE_ACCOUNTS = Write(
    """
    UPDATE accounts SET sequence = new.sequence, open_points = new.open_points,
           debt_points = new.debt_points, earned_points = new.earned_points,
           spent_points = new.spent_points, expired_points = new.expired_points,
           clawed_back_points = new.clawed_back_points, held_points = new.held_points,
           next_expiry_at = new.next_expiry_at, pending_points = new.pending_points,
           adjusted_points = new.adjusted_points, transferred_points = new.transferred_points,
           forfeited_points = new.forfeited_points, sliding_policy = new.sliding_policy,
           sliding_expires_at = new.sliding_expires_at
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS bigint[]), CAST(:p2 AS bigint[]), CAST(:p3 AS bigint[]),
                CAST(:p4 AS bigint[]), CAST(:p5 AS bigint[]), CAST(:p6 AS bigint[]), CAST(:p7 AS bigint[]),
                CAST(:p8 AS bigint[]), CAST(:p9 AS timestamptz[]), CAST(:p10 AS bigint[]),
                CAST(:p11 AS bigint[]), CAST(:p12 AS bigint[]), CAST(:p13 AS bigint[]), CAST(:p14 AS text[]),
                CAST(:p15 AS timestamptz[]))
         AS new(member_id, sequence, open_points, debt_points, earned_points, spent_points, expired_points,
                clawed_back_points, held_points, next_expiry_at, pending_points, adjusted_points,
                transferred_points, forfeited_points, sliding_policy, sliding_expires_at)
    WHERE accounts.member_id = new.member_id
    """
)

# The lots that could pay what each member needs, in spending order: soonest-expiring first, then oldest.
# Lots beyond what is needed stay in the database, unless they are asked for by id. What holds have pinned
# pays nobody else.
PAYING_LOTS = text(
    """
    SELECT id, member_id, remaining_points, pinned_points, pending, earned_at, expires_at, sliding FROM (
        SELECT lots.id, lots.member_id, lots.remaining_points, lots.pinned_points, lots.pending, lots.sliding,
               lots.matures_at, dated.expires_at, lots.earned_at, need.points AS needed_points,
               sum(lots.remaining_points - lots.pinned_points) OVER (
                   PARTITION BY lots.member_id
                   ORDER BY lots.pending, dated.expires_at NULLS LAST, lots.earned_at, lots.id
               ) - lots.remaining_points + lots.pinned_points AS points_before
        FROM unnest(CAST(:member_ids AS uuid[]), CAST(:points AS bigint[]), CAST(:dates AS timestamptz[]))
                  AS need(member_id, points, sliding_expires_at)
             JOIN lots ON lots.member_id = need.member_id
             CROSS JOIN LATERAL (
                 SELECT CASE WHEN lots.sliding THEN need.sliding_expires_at ELSE lots.expires_at END
             ) AS dated(expires_at)
        WHERE lots.remaining_points > 0
              AND (lots.pending OR :with_due OR lots.expires_at IS NULL OR lots.expires_at > :now)
    ) AS ranked
    WHERE (points_before < needed_points AND NOT pending) OR id = ANY(CAST(:wanted_ids AS uuid[]))
          OR (pending AND :with_pending)
    ORDER BY member_id, pending, matures_at NULLS LAST, expires_at NULLS LAST, earned_at, id
    """
)

PIN_LOTS = Write(
    """
    UPDATE lots SET pinned_points = lots.pinned_points + pin.points
    FROM (SELECT lot_id, CAST(sum(points) AS bigint) AS points
          FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS bigint[])) AS p(lot_id, points) GROUP BY lot_id) AS pin
    WHERE lots.id = pin.lot_id
    """
)


async def lock_accounts(
    session: AsyncSession, member_ids: Iterable[UUID], *, create: bool = True
) -> dict[UUID, Account]:
    """Lock the accounts of these members, in the order of their ids; with `create` none is missing.

    A merged member's id locks the account of whom they were merged into. The insert comes first and as a
    whole: it waits for whoever is opening the same account, so that afterwards all rows exist and two
    batches can only queue up, never wait for each other in a circle.
    """
    ordered = sorted(set(member_ids), key=IN_ORDER)
    if create:
        await session.execute(OPEN_ACCOUNTS, {"member_ids": ordered})
    rows = await session.execute(LOCK_ACCOUNTS, {"member_ids": ordered})
    return {row[0]: Account(*row[:-1]) for row in rows if row[-1] is None}


async def roots(session: AsyncSession, member_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return those of the members that are merged, with whose account holds what they have."""
    rows = await session.execute(ROOTS, {"member_ids": list(member_ids)})
    return {row[0]: row[1] for row in rows}


async def credit_accounts(
    session: AsyncSession, given: Mapping[UUID, Credit]
) -> tuple[dict[UUID, Account], dict[UUID, bytes]]:
    """Lock all the accounts and credit those that owe nothing and have nothing due.

    Returns the credited ones as they were before, with the figures that posting needs, and the hashes that
    their next entries follow, as far as they have one; the others have to be loaded, and are posted to in the
    ordinary way.
    """
    if not given:
        return {}, {}
    row = await session.execute(CREDIT_ACCOUNTS, columns(given.values()))
    member_ids, sequences, open_points, held_points, hashes = row.one()
    if not member_ids:
        return {}, {}
    accounts = {
        member_id: Account(member_id, sequence, points, held_points=held)
        for member_id, sequence, points, held in zip(
            member_ids, sequences, open_points, held_points, strict=True
        )
    }
    links = {
        member_id: digest or b""
        for member_id, digest, sequence in zip(member_ids, hashes, sequences, strict=True)
        if digest is not None or sequence == 0
    }
    return accounts, links


async def database_now(session: AsyncSession) -> datetime:
    """Return the database's clock, which judges every deadline."""
    now: datetime = (await session.execute(DATABASE_NOW)).scalar_one()
    return now


async def known_earns(session: AsyncSession, order_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the orders that have earned before."""
    return set((await session.scalars(KNOWN_EARNS, {"order_ids": order_ids})).all())


async def add_entries(
    session: AsyncSession,
    rows: Sequence[EntryRow],
    *,
    recorded_at: datetime,
    links: Mapping[UUID, bytes] = NO_LINKS,
) -> None:
    """Append entries, those of an account in their order; each one's hash goes on from the one before.

    `links` are hashes that are known to be before them; the others are looked up. A natural key that exists
    already is a violation, never a second posting.
    """
    if rows:
        # Backwards, so that what remains of each account is its first row.
        before = {row.member_id: row.sequence - 1 for row in reversed(rows) if row.member_id not in links}
        found = await heads(session, before)
        await append(session, ENTRIES, chained(rows, {**links, **found}, recorded_at=recorded_at))


async def open_lots(session: AsyncSession, rows: Sequence[LotRow]) -> None:
    """Open lots with all their points remaining."""
    await append(session, LOTS, rows)


async def move_points(session: AsyncSession, rows: Sequence[MoveRow]) -> None:
    """Take points out of lots and record which entry took them."""
    if rows:
        moved = columns(rows)
        await write(session, TAKE_FROM_LOTS, moved)
        await write(session, ADD_MOVES, moved)


async def save_accounts(session: AsyncSession, accounts: Iterable[Account]) -> None:
    """Write back locked accounts."""
    rows = list(map(FIGURES, accounts))
    if rows:
        await write(session, SAVE_ACCOUNTS, columns(rows))


async def pin_lots(session: AsyncSession, pins: Sequence[tuple[UUID, int]]) -> None:
    """Pin (lot, points) for holds, or let go of them if negative."""
    if pins:
        await write(session, PIN_LOTS, columns(pins))


async def paying_lots(
    session: AsyncSession,
    needs: Mapping[UUID, int],
    sliding_dates: Mapping[UUID, datetime | None],
    *,
    now: datetime,
    wanted_ids: Sequence[UUID] = (),
    with_pending: bool = False,
    with_due: bool = False,
) -> dict[UUID, list[Lot]]:
    """Return, per account, the live lots that could pay what is needed, in spending order."""
    rows = await session.execute(
        PAYING_LOTS,
        {
            "member_ids": list(needs),
            "points": list(needs.values()),
            "dates": [sliding_dates[member_id] for member_id in needs],
            "now": now,
            "wanted_ids": list(wanted_ids),
            "with_pending": with_pending,
            "with_due": with_due,
        },
    )
    lots: dict[UUID, list[Lot]] = {member_id: [] for member_id in needs}
    for row in rows:
        lot_id, member_id, *figures = row
        lots[member_id].append(Lot(lot_id, *figures))
    return lots
