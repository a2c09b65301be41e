"""Statements on accounts, entries and lots that batches work on. Each works on a whole batch at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account, Lot
from services.points.repository.chain import catch_up
from shared.writing import Append, Write, append, columns, write

# A row of `entries`, in the order of ENTRIES. Plain tuples: half of what an order costs in Python is to make
# and to copy rows, and those with names take a quarter longer for both.
EntryRow = tuple[
    UUID,
    int,
    UUID,
    str,
    str,
    int,
    UUID,
    str,
    int | None,
    int | None,
    str | None,
    str,
    str,
    datetime,
    str | None,
    UUID | None,
    datetime,
    bytes,
]

# A row of `lots` as it is opened, in the order of LOTS.
LotRow = tuple[
    UUID,
    UUID,
    int,
    int,
    datetime,
    datetime | None,
    bool,
    datetime | None,
    bool,
    UUID | None,
    UUID | None,
]


class MoveRow(NamedTuple):
    """A row of `lot_moves`, in the order of ADD_MOVES."""

    lot_id: UUID
    entry_id: UUID
    points: int


# `detail` is JSON as it is to be written.
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
    SELECT id FROM unnest(CAST(:member_ids AS uuid[])) AS account(id) ORDER BY id
    ON CONFLICT (member_id) DO NOTHING
    """
)

# An account in the order in which `Account` has it. A head that entries have passed is unknown; one ahead of
# them is kept, so that what follows does not hide that the end was cut off. The answer is one row: the clock,
# and columns of the locked accounts, which are read in a fraction of the time that as many rows take. It is
# made when the columns are whole, so the clock is read when the last lock is held.
_LOCK = """
    SELECT clock_timestamp(), {others}, array_agg(member_id), array_agg(sequence), array_agg(head),
           array_agg(open_points), array_agg(debt_points), array_agg(held_points), array_agg(pending_points),
           array_agg(next_expiry_at), array_agg(sliding_policy), array_agg(sliding_expires_at)
    FROM (
        SELECT member_id, sequence, CASE WHEN head_sequence >= sequence THEN head END AS head, open_points,
               debt_points, held_points, pending_points, next_expiry_at, sliding_policy, sliding_expires_at,
               merged_into
        FROM accounts WHERE member_id = ANY(ARRAY({ids}))
        ORDER BY member_id
        FOR UPDATE
    ) AS locked
    WHERE {wanted}
"""

_ABSENT = """
    CASE WHEN NOT (SELECT so FROM whole) THEN
        ARRAY(SELECT unnest(CAST(:member_ids AS uuid[])) EXCEPT SELECT member_id FROM known) END,
    CASE WHEN NOT (SELECT so FROM whole) THEN ARRAY(SELECT coalesce(merged_into, member_id) FROM known) END
"""
_ROOTS = "SELECT coalesce(merged_into, member_id) FROM known WHERE (SELECT so FROM whole)"

# An alias is followed before anything is locked, so that everybody locks accounts in the order of their ids.
# Nothing is locked while an account is missing that has to be opened; then the answer is which, and whose
# accounts the others are.
LOCK_ACCOUNTS = text(
    f"""
    WITH known AS MATERIALIZED (
        SELECT member_id, merged_into FROM accounts WHERE member_id = ANY(CAST(:member_ids AS uuid[]))
    ), whole AS MATERIALIZED (
        SELECT NOT :create OR count(*) = cardinality(CAST(:member_ids AS uuid[])) AS so FROM known
    )
    {_LOCK.format(others=_ABSENT, ids=_ROOTS, wanted="merged_into IS NULL")}
    """  # noqa: S608 - a constant
)

# These very accounts, aliases not followed; without `aliases` those are not returned.
LOCK_THESE = text(
    _LOCK.format(
        others="NULL, NULL",
        ids="SELECT unnest(CAST(:member_ids AS uuid[]))",
        wanted=":aliases OR merged_into IS NULL",
    )
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
    UPDATE accounts SET sequence = new.sequence, head = new.head, head_sequence = new.sequence,
           open_points = new.open_points, debt_points = new.debt_points, held_points = new.held_points,
           pending_points = new.pending_points, next_expiry_at = new.next_expiry_at,
           sliding_policy = new.sliding_policy, sliding_expires_at = new.sliding_expires_at,
           earned_points = accounts.earned_points + new.earned_points,
           spent_points = accounts.spent_points + new.spent_points,
           expired_points = accounts.expired_points + new.expired_points,
           clawed_back_points = accounts.clawed_back_points + new.clawed_back_points,
           adjusted_points = accounts.adjusted_points + new.adjusted_points,
           transferred_points = accounts.transferred_points + new.transferred_points,
           forfeited_points = accounts.forfeited_points + new.forfeited_points
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS bigint[]), CAST(:p2 AS bytea[]), CAST(:p3 AS bigint[]),
                CAST(:p4 AS bigint[]), CAST(:p5 AS bigint[]), CAST(:p6 AS bigint[]),
                CAST(:p7 AS timestamptz[]), CAST(:p8 AS text[]), CAST(:p9 AS timestamptz[]),
                CAST(:p10 AS bigint[]), CAST(:p11 AS bigint[]), CAST(:p12 AS bigint[]),
                CAST(:p13 AS bigint[]), CAST(:p14 AS bigint[]), CAST(:p15 AS bigint[]),
                CAST(:p16 AS bigint[]))
         AS new(member_id, sequence, head, open_points, debt_points, held_points, pending_points,
                next_expiry_at, sliding_policy, sliding_expires_at, earned_points, spent_points,
                expired_points, clawed_back_points, adjusted_points, transferred_points, forfeited_points)
    WHERE accounts.member_id = new.member_id
    """
)

# Nearly all that is written to accounts: orders that opened lots and did nothing else. The array of every
# further figure would cost as much as its share of this one.
SAVE_EARNED = Write(
    """
    UPDATE accounts SET sequence = new.sequence, head = new.head, head_sequence = new.sequence,
           open_points = new.open_points, earned_points = accounts.earned_points + new.earned_points,
           next_expiry_at = coalesce(new.sooner_at, accounts.next_expiry_at)
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS bigint[]), CAST(:p2 AS bytea[]), CAST(:p3 AS bigint[]),
                CAST(:p4 AS bigint[]), CAST(:p5 AS timestamptz[]))
         AS new(member_id, sequence, head, open_points, earned_points, sooner_at)
    WHERE accounts.member_id = new.member_id
    """
)

# An account in the order of these two; `astuple` would copy each figure deeply.
FIGURES = attrgetter(*(field.name for field in fields(Account) if field.name != "sooner_at"))
EARNED_FIGURES = attrgetter("member_id", "sequence", "head", "open_points", "earned_points", "sooner_at")

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
) -> tuple[dict[UUID, Account], datetime]:
    """Lock the accounts of these members, in the order of their ids; with `create` none is missing.

    Returns them with the database's clock as it was when all were locked: whoever waited judges by the time
    it has become. A merged member's id locks the account of whom they were merged into.

    Missing accounts are opened before any is locked, and as a whole: that waits for whoever is opening the
    same account, so that afterwards all rows exist and two batches can only queue up, never wait for each
    other in a circle.
    """
    parameters = {"member_ids": list(set(member_ids)), "create": create}
    now, missing, others, *figures = (await session.execute(LOCK_ACCOUNTS, parameters)).one()
    if missing is not None:
        return await lock_these(session, missing, others, aliases=False)
    return await _accounts(session, figures), now


async def lock_these(
    session: AsyncSession, missing: Sequence[UUID], others: Sequence[UUID] = (), *, aliases: bool = True
) -> tuple[dict[UUID, Account], datetime]:
    """Lock these very accounts, having opened those that are `missing`; the same otherwise.

    Unless `aliases` are asked for, an account is passed over that has become one.
    """
    await session.execute(OPEN_ACCOUNTS, {"member_ids": missing})
    parameters = {"member_ids": [*missing, *others], "aliases": aliases}
    now, _, _, *figures = (await session.execute(LOCK_THESE, parameters)).one()
    return await _accounts(session, figures), now


async def _accounts(session: AsyncSession, figures: Sequence[Sequence[Any] | None]) -> dict[UUID, Account]:
    """Make accounts of their columns; each knows its head from now on."""
    if figures[0] is None:
        return {}
    accounts = {row[0]: Account(*row) for row in zip(*figures, strict=True)}
    unknown = [member_id for member_id, account in accounts.items() if account.head is None]
    if unknown:
        for member_id, head in (await catch_up(session, unknown)).items():
            accounts[member_id].head = head
    return accounts


async def roots(session: AsyncSession, member_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return those of the members that are merged, with whose account holds what they have."""
    rows = await session.execute(ROOTS, {"member_ids": list(member_ids)})
    return {row[0]: row[1] for row in rows}


async def database_now(session: AsyncSession) -> datetime:
    """Return the database's clock, which judges every deadline."""
    now: datetime = (await session.execute(DATABASE_NOW)).scalar_one()
    return now


async def known_earns(session: AsyncSession, order_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the orders that have earned before."""
    return set((await session.scalars(KNOWN_EARNS, {"order_ids": order_ids})).all())


async def add_entries(session: AsyncSession, rows: Sequence[EntryRow]) -> None:
    """Append entries. A natural key that exists already is a violation, never a second posting."""
    await append(session, ENTRIES, rows)


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


async def save_earned(session: AsyncSession, accounts: Iterable[Account]) -> None:
    """Write back locked accounts of which nothing but what orders earned has changed."""
    rows = list(map(EARNED_FIGURES, accounts))
    if rows:
        await write(session, SAVE_EARNED, columns(rows))


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
