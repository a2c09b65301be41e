"""Statements about groups, seats and member limits. Locks are taken in one order: group, stock, member."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.domain import Group, Seat, Usage

SEAT_COLUMNS = ", ".join(f"s.{field.name}" for field in fields(Seat) if field.name != "was")
GROUP_FIELDS = [field.name for field in fields(Group) if field.name not in ("was", "seats")]
GROUP_COLUMNS = ", ".join("a.ends_at" if name == "ends_at" else f"g.{name}" for name in GROUP_FIELDS)

LOCK_GROUPS = text(
    f"""
    SELECT {GROUP_COLUMNS} FROM buy_groups g JOIN activities a ON a.activity_id = g.activity_id
    WHERE g.group_id = ANY(CAST(:group_ids AS uuid[]))
    ORDER BY g.group_id FOR NO KEY UPDATE OF g
    """  # noqa: S608 - constants
)

DUE_GROUPS_OF_SKUS = text(
    """
    SELECT DISTINCT s.group_id FROM seats s
    JOIN unnest(CAST(:activity_ids AS uuid[]), CAST(:skus AS text[])) AS k(activity_id, sku)
      ON s.activity_id = k.activity_id AND s.sku = k.sku
    WHERE s.state = 'held' AND s.lapses_at <= clock_timestamp() LIMIT :limit
    """
)

CLAIM_GROUPS_WITH_DUE_SEATS = text(
    f"""
    SELECT {GROUP_COLUMNS} FROM buy_groups g JOIN activities a ON a.activity_id = g.activity_id
    WHERE g.group_id IN (
        SELECT s.group_id FROM seats s
        WHERE s.state = 'held' AND s.lapses_at <= clock_timestamp() ORDER BY s.lapses_at LIMIT :limit
    )
    ORDER BY g.group_id FOR NO KEY UPDATE OF g SKIP LOCKED
    """  # noqa: S608 - constants
)

# A closing group waits for the seats that may still turn out to be paid in time.
CLAIM_DUE_GROUPS = text(
    f"""
    SELECT {GROUP_COLUMNS} FROM buy_groups g JOIN activities a ON a.activity_id = g.activity_id
    WHERE g.state IN ('open', 'closing') AND g.deadline_at <= clock_timestamp()
      AND (g.state = 'open' OR NOT EXISTS (
          SELECT FROM seats s
          WHERE s.group_id = g.group_id AND s.state = 'held' AND s.lapses_at > clock_timestamp()))
    ORDER BY g.deadline_at LIMIT :limit
    FOR NO KEY UPDATE OF g SKIP LOCKED
    """  # noqa: S608 - constants
)

UNDECIDED_GROUP_IDS = text(
    """
    SELECT group_id FROM buy_groups
    WHERE activity_id = :activity_id AND state IN ('pending', 'open', 'closing')
    """
)

SEATS = text(
    f"""
    SELECT {SEAT_COLUMNS} FROM seats s
    WHERE s.group_id = ANY(CAST(:group_ids AS uuid[]))
      AND (s.state IN ('held', 'paid', 'confirmed') OR s.seat_id = ANY(CAST(:seat_ids AS uuid[])))
    """  # noqa: S608 - constants
)

SEAT_PLACES = text(
    """
    SELECT seat_id, group_id, activity_id, sku, member_id, state FROM seats
    WHERE seat_id = ANY(CAST(:seat_ids AS uuid[]))
    """
)

GROUP_PLACES = text(
    "SELECT group_id, activity_id, sku FROM buy_groups WHERE group_id = ANY(CAST(:group_ids AS uuid[]))"
)

INSERT_GROUPS = text(
    """
    INSERT INTO buy_groups (group_id, activity_id, shop_id, sku, initiator_id, leader_id, group_size,
                            price_minor, currency, listed, state, seats_taken, seats_paid, created_at)
    SELECT n.group_id, n.activity_id, n.shop_id, n.sku, n.initiator_id, n.initiator_id, n.group_size,
           n.price_minor, n.currency, n.listed, 'pending', 0, 0, n.created_at
    FROM unnest(CAST(:group_ids AS uuid[]), CAST(:activity_ids AS uuid[]), CAST(:shop_ids AS text[]),
                CAST(:skus AS text[]), CAST(:initiator_ids AS uuid[]), CAST(:group_sizes AS smallint[]),
                CAST(:prices AS bigint[]), CAST(:currencies AS text[]), CAST(:listed AS boolean[]),
                CAST(:created_at AS timestamptz[]))
         AS n(group_id, activity_id, shop_id, sku, initiator_id, group_size, price_minor, currency, listed,
              created_at)
    """
)

# Guarded although the rows are locked: a group never holds more than it has seats, whatever the code thinks.
UPDATE_GROUPS = text(
    """
    UPDATE buy_groups g
    SET state = c.state, seats_taken = g.seats_taken + c.taken, seats_paid = g.seats_paid + c.paid,
        leader_id = c.leader_id, opened_at = c.opened_at, deadline_at = c.deadline_at,
        decided_at = c.decided_at, reason = c.reason
    FROM unnest(CAST(:group_ids AS uuid[]), CAST(:was AS text[]), CAST(:states AS text[]),
                CAST(:taken AS smallint[]), CAST(:paid AS smallint[]), CAST(:leader_ids AS uuid[]),
                CAST(:opened_at AS timestamptz[]), CAST(:deadline_at AS timestamptz[]),
                CAST(:decided_at AS timestamptz[]), CAST(:reasons AS text[]))
         AS c(group_id, was, state, taken, paid, leader_id, opened_at, deadline_at, decided_at, reason)
    WHERE g.group_id = c.group_id AND g.state = c.was
      AND g.seats_taken + c.taken BETWEEN 0 AND g.group_size
    RETURNING g.group_id
    """
)

INSERT_SEATS = text(
    """
    INSERT INTO seats (seat_id, group_id, activity_id, sku, member_id, seat_no, quantity, amount_minor,
                       currency, state, held_at, held_until, lapses_at, link_id, generation)
    SELECT n.seat_id, n.group_id, n.activity_id, n.sku, n.member_id, n.seat_no, n.quantity, n.amount_minor,
           n.currency, 'held', n.held_at, n.held_until, n.lapses_at, n.link_id, n.generation
    FROM unnest(CAST(:seat_ids AS uuid[]), CAST(:group_ids AS uuid[]), CAST(:activity_ids AS uuid[]),
                CAST(:skus AS text[]), CAST(:member_ids AS uuid[]), CAST(:seat_nos AS smallint[]),
                CAST(:quantities AS bigint[]), CAST(:amounts AS bigint[]), CAST(:currencies AS text[]),
                CAST(:held_at AS timestamptz[]), CAST(:held_until AS timestamptz[]),
                CAST(:lapses_at AS timestamptz[]), CAST(:link_ids AS uuid[]), CAST(:generations AS bigint[]))
         AS n(seat_id, group_id, activity_id, sku, member_id, seat_no, quantity, amount_minor, currency,
              held_at, held_until, lapses_at, link_id, generation)
    """
)

UPDATE_SEATS = text(
    """
    UPDATE seats s
    SET state = c.state, seat_no = c.seat_no, paid_at = c.paid_at, order_id = c.order_id
    FROM unnest(CAST(:seat_ids AS uuid[]), CAST(:was AS text[]), CAST(:states AS text[]),
                CAST(:seat_nos AS smallint[]), CAST(:paid_at AS timestamptz[]), CAST(:order_ids AS uuid[]))
         AS c(seat_id, was, state, seat_no, paid_at, order_id)
    WHERE s.seat_id = c.seat_id AND s.state = c.was
    RETURNING s.seat_id
    """
)

ENSURE_USAGE = text(
    """
    INSERT INTO member_usage (activity_id, member_id, units, open_groups)
    SELECT k.activity_id, k.member_id, 0, 0
    FROM unnest(CAST(:activity_ids AS uuid[]), CAST(:member_ids AS uuid[])) AS k(activity_id, member_id)
    ORDER BY k.activity_id, k.member_id
    ON CONFLICT DO NOTHING
    """
)

LOCK_USAGE = text(
    """
    SELECT u.activity_id, u.member_id, u.units, u.open_groups FROM member_usage u
    JOIN unnest(CAST(:activity_ids AS uuid[]), CAST(:member_ids AS uuid[])) AS k(activity_id, member_id)
      ON u.activity_id = k.activity_id AND u.member_id = k.member_id
    ORDER BY u.activity_id, u.member_id FOR NO KEY UPDATE OF u
    """
)

MOVE_USAGE = text(
    """
    UPDATE member_usage u SET units = u.units + d.units, open_groups = u.open_groups + d.open_groups
    FROM unnest(CAST(:activity_ids AS uuid[]), CAST(:member_ids AS uuid[]), CAST(:units AS bigint[]),
                CAST(:open_groups AS bigint[])) AS d(activity_id, member_id, units, open_groups)
    WHERE u.activity_id = d.activity_id AND u.member_id = d.member_id
      AND u.units + d.units >= 0 AND u.open_groups + d.open_groups >= 0
    RETURNING u.member_id
    """
)

UsageKey = tuple[UUID, UUID]


async def lock_groups(session: AsyncSession, group_ids: Iterable[UUID]) -> dict[UUID, Group]:
    """Lock groups in one order and return them with an empty book of seats."""
    rows = await session.execute(LOCK_GROUPS, {"group_ids": sorted(set(group_ids))})
    return _groups(rows.all())


async def claim_groups_with_due_seats(session: AsyncSession, limit: int) -> dict[UUID, Group]:
    """Lock groups that have holds to give back, leaving out those that somebody works on."""
    rows = await session.execute(CLAIM_GROUPS_WITH_DUE_SEATS, {"limit": limit})
    return _groups(rows.all())


async def claim_due_groups(session: AsyncSession, limit: int) -> dict[UUID, Group]:
    """Lock groups whose deadline has passed, leaving out those that somebody works on."""
    return _groups((await session.execute(CLAIM_DUE_GROUPS, {"limit": limit})).all())


def _groups(rows: Sequence[Row[Any]]) -> dict[UUID, Group]:
    return {row.group_id: Group(**row._mapping, was=row.state) for row in rows}


async def due_groups_of_skus(
    session: AsyncSession, keys: Iterable[tuple[UUID, str]], limit: int
) -> list[UUID]:
    """Return groups that tie up stock of these SKUs with holds that are over."""
    ordered = sorted(keys)
    rows = await session.scalars(
        DUE_GROUPS_OF_SKUS,
        {"activity_ids": [key[0] for key in ordered], "skus": [key[1] for key in ordered], "limit": limit},
    )
    return list(rows.all())


async def undecided_group_ids(session: AsyncSession, activity_id: UUID) -> list[UUID]:
    """Return an activity's groups that are neither formed nor failed."""
    return list((await session.scalars(UNDECIDED_GROUP_IDS, {"activity_id": activity_id})).all())


async def load_seats(session: AsyncSession, groups: dict[UUID, Group], seat_ids: Sequence[UUID] = ()) -> None:
    """Put the live seats of locked groups into their books, and any other seat that is named."""
    rows = await session.execute(SEATS, {"group_ids": list(groups), "seat_ids": list(seat_ids)})
    for row in rows:
        groups[row.group_id].seats[row.seat_id] = Seat(**row._mapping, was=row.state)


async def seat_places(session: AsyncSession, seat_ids: Sequence[UUID]) -> dict[UUID, Row[Any]]:
    """Return where seats belong, without locking anything: a seat never changes its group."""
    rows = await session.execute(SEAT_PLACES, {"seat_ids": list(seat_ids)})
    return {row.seat_id: row for row in rows}


async def group_places(session: AsyncSession, group_ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, str]]:
    """Return the activity and SKU of groups, without locking anything: they never change."""
    rows = await session.execute(GROUP_PLACES, {"group_ids": list(group_ids)})
    return {row.group_id: (row.activity_id, row.sku) for row in rows}


async def insert_groups(session: AsyncSession, groups: Sequence[Group]) -> None:
    """Write new groups, pending and without seats."""
    if not groups:
        return
    await session.execute(
        INSERT_GROUPS,
        {
            "group_ids": [group.group_id for group in groups],
            "activity_ids": [group.activity_id for group in groups],
            "shop_ids": [group.shop_id for group in groups],
            "skus": [group.sku for group in groups],
            "initiator_ids": [group.initiator_id for group in groups],
            "group_sizes": [group.group_size for group in groups],
            "prices": [group.price_minor for group in groups],
            "currencies": [group.currency for group in groups],
            "listed": [group.listed for group in groups],
            "created_at": [group.created_at for group in groups],
        },
    )


async def update_groups(session: AsyncSession, changes: Sequence[tuple[Group, int, int]]) -> None:
    """Write changed groups with the seats (taken, paid) since. Raises RuntimeError if a guard fails."""
    if not changes:
        return
    groups = [group for group, _, _ in changes]
    rows = await session.execute(
        UPDATE_GROUPS,
        {
            "group_ids": [group.group_id for group in groups],
            "was": [group.was or "pending" for group in groups],
            "states": [group.state for group in groups],
            "taken": [taken for _, taken, _ in changes],
            "paid": [paid for _, _, paid in changes],
            "leader_ids": [group.leader_id for group in groups],
            "opened_at": [group.opened_at for group in groups],
            "deadline_at": [group.deadline_at for group in groups],
            "decided_at": [group.decided_at for group in groups],
            "reasons": [group.reason for group in groups],
        },
    )
    if len(rows.all()) != len(changes):
        raise RuntimeError("a group changed behind its lock or would hold too many seats")


async def insert_seats(session: AsyncSession, seats: Sequence[Seat]) -> None:
    """Write new held seats."""
    if not seats:
        return
    await session.execute(
        INSERT_SEATS,
        {
            "seat_ids": [seat.seat_id for seat in seats],
            "group_ids": [seat.group_id for seat in seats],
            "activity_ids": [seat.activity_id for seat in seats],
            "skus": [seat.sku for seat in seats],
            "member_ids": [seat.member_id for seat in seats],
            "seat_nos": [seat.seat_no for seat in seats],
            "quantities": [seat.quantity for seat in seats],
            "amounts": [seat.amount_minor for seat in seats],
            "currencies": [seat.currency for seat in seats],
            "held_at": [seat.held_at for seat in seats],
            "held_until": [seat.held_until for seat in seats],
            "lapses_at": [seat.lapses_at for seat in seats],
            "link_ids": [seat.link_id for seat in seats],
            "generations": [seat.generation for seat in seats],
        },
    )


async def update_seats(session: AsyncSession, seats: Sequence[Seat]) -> None:
    """Write changed seats. Raises RuntimeError if one was changed behind its group's lock."""
    if not seats:
        return
    rows = await session.execute(
        UPDATE_SEATS,
        {
            "seat_ids": [seat.seat_id for seat in seats],
            "was": [seat.was for seat in seats],
            "states": [seat.state for seat in seats],
            "seat_nos": [seat.seat_no for seat in seats],
            "paid_at": [seat.paid_at for seat in seats],
            "order_ids": [seat.order_id for seat in seats],
        },
    )
    if len(rows.all()) != len(seats):
        raise RuntimeError("a seat changed behind its group's lock")


async def lock_usage(session: AsyncSession, keys: set[UsageKey]) -> dict[UsageKey, Usage]:
    """Lock what members have taken of activities' limits, in one order, starting at nothing."""
    if not keys:
        return {}
    ordered = sorted(keys)
    parameters = {"activity_ids": [key[0] for key in ordered], "member_ids": [key[1] for key in ordered]}
    await session.execute(ENSURE_USAGE, parameters)
    rows = await session.execute(LOCK_USAGE, parameters)
    return {(row.activity_id, row.member_id): Usage(row.units, row.open_groups) for row in rows}


async def move_usage(session: AsyncSession, deltas: dict[UsageKey, Usage]) -> None:
    """Add to and take from locked counters. Raises RuntimeError rather than go below nothing."""
    moved = {key: delta for key, delta in sorted(deltas.items()) if delta.units or delta.open_groups}
    if not moved:
        return
    rows = await session.execute(
        MOVE_USAGE,
        {
            "activity_ids": [key[0] for key in moved],
            "member_ids": [key[1] for key in moved],
            "units": [delta.units for delta in moved.values()],
            "open_groups": [delta.open_groups for delta in moved.values()],
        },
    )
    if len(rows.all()) != len(moved):
        raise RuntimeError("a member's usage would fall below nothing")
