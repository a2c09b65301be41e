"""What tiers are judged by and on which terms they are held; what befell them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Facts, Figures, Gift, Ladder, Lock, Member, Move, Terms
from shared.writing import Append, append

__all__ = [
    "Past",
    "Purchase",
    "add_points",
    "due_members",
    "facts",
    "history_page",
    "insert_history",
    "insert_purchases",
    "points_totals",
    "save_terms",
    "terms",
]

Past = tuple[Move, str | None]
"""What befell a tier, and who had it so if it was a person."""

Purchase = tuple[UUID, UUID, str | None, str | None, datetime | None, datetime]
"""(redemption, member, tier, why it was declined, until when it holds, when that was decided)."""

TERMS_COLUMNS = (
    "member_id, counts_from, ends_at, falls_at, falls_reason, is_given, lock_tier, lock_until, lock_actor,"
    " lock_reason, locked_at, look_at"
)

# With what was paid for and still holds: it is due even if something better was held meanwhile.
TERMS = text(
    f"""
    SELECT {TERMS_COLUMNS}, bought.tiers AS bought_tiers, bought.untils AS bought_untils
    FROM tier_terms AS held CROSS JOIN LATERAL (
        SELECT array_agg(p.tier) AS tiers, array_agg(p.until) AS untils
        FROM tier_purchases AS p
        WHERE p.member_id = held.member_id AND p.declined_reason IS NULL
          AND (p.until IS NULL OR p.until > clock_timestamp())
    ) AS bought
    WHERE member_id = ANY(CAST(:ids AS uuid[]))
    """  # noqa: S608 - constants
)

SAVE_TERMS = text(
    f"""
    INSERT INTO tier_terms ({TERMS_COLUMNS})
    SELECT * FROM unnest(
        CAST(:ids AS uuid[]), CAST(:firsts AS date[]), CAST(:ends AS timestamptz[]),
        CAST(:falls AS timestamptz[]), CAST(:fall_reasons AS text[]), CAST(:given AS boolean[]),
        CAST(:lock_tiers AS text[]), CAST(:lock_untils AS timestamptz[]), CAST(:lock_actors AS text[]),
        CAST(:lock_reasons AS text[]), CAST(:locked AS timestamptz[]), CAST(:looks AS timestamptz[]))
    ON CONFLICT (member_id) DO UPDATE SET
        counts_from = excluded.counts_from, ends_at = excluded.ends_at, falls_at = excluded.falls_at,
        falls_reason = excluded.falls_reason, is_given = excluded.is_given, lock_tier = excluded.lock_tier,
        lock_until = excluded.lock_until, lock_actor = excluded.lock_actor,
        lock_reason = excluded.lock_reason, locked_at = excluded.locked_at, look_at = excluded.look_at
    """  # noqa: S608 - constants
)

# By the day of the payment, whatever day a refund came on: what was refunded was never earned.
DAYS_OF_ORDERS = text(
    """
    SELECT k.person_id, CAST(o.paid_at AT TIME ZONE :zone AS date) AS day,
        CAST(coalesce(sum(o.total_minor - o.refunded_minor) FILTER (WHERE o.currency = :currency), 0)
             AS bigint) AS spend_minor,
        count(*) FILTER (WHERE o.refunded_minor = 0 OR o.refunded_minor < o.total_minor) AS orders
    FROM unnest(CAST(:persons AS uuid[]), CAST(:members AS uuid[]), CAST(:firsts AS timestamptz[]))
        AS k(person_id, member_id, first_at)
    JOIN orders AS o ON o.member_id = k.member_id
    WHERE o.paid_at >= k.first_at AND o.cancelled_at IS NULL
    GROUP BY 1, 2
    """
)

DAYS_OF_POINTS = text(
    """
    SELECT k.person_id, p.day, CAST(sum(p.points) AS bigint) AS points
    FROM unnest(CAST(:persons AS uuid[]), CAST(:members AS uuid[])) AS k(person_id, member_id)
    JOIN points_by_day AS p ON p.member_id = k.member_id
    GROUP BY 1, 2
    """
)

POINTS_TOTALS = text(
    """
    SELECT member_id, CAST(sum(points) AS bigint) AS points FROM points_by_day
    WHERE member_id = ANY(CAST(:ids AS uuid[])) GROUP BY member_id
    """
)

# In the order of the key, so that two batches wait for each other instead of deadlocking.
ADD_POINTS = text(
    """
    INSERT INTO points_by_day AS known (member_id, day, points)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:days AS date[]), CAST(:points AS bigint[]))
    ON CONFLICT (member_id, day) DO UPDATE SET points = known.points + excluded.points
    """
)

# Locked in the order of ids, like every batch does it; what another one holds is left for the next time.
DUE = text(
    """
    SELECT id FROM members WHERE id IN (
        SELECT t.member_id FROM tier_terms AS t JOIN members AS m ON m.id = t.member_id
        WHERE m.erased_at IS NULL AND t.look_at <= coalesce(CAST(:as_of AS timestamptz), clock_timestamp())
          AND NOT EXISTS (SELECT FROM aliases WHERE aliases.merged_id = t.member_id)
        ORDER BY t.look_at LIMIT :limit)
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    """
)

TIER_HISTORY = Append(
    "tier_history",
    member_id="uuid",
    kind="text",
    from_tier="text",
    to_tier="text",
    at="timestamptz",
    until="timestamptz",
    reason="text",
    actor="text",
    spend_minor="bigint",
    orders="integer",
    points="bigint",
    tier_version="integer",
)

HISTORY_PAGE = text(
    """
    SELECT id, kind, from_tier, to_tier, at, until, reason, actor, spend_minor, orders, points, tier_version,
        recorded_at
    FROM tier_history
    WHERE member_id = ANY(CAST(:ids AS uuid[])) AND (CAST(:before AS bigint) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :limit
    """
)

TIER_PURCHASES = Append(
    "tier_purchases",
    redemption_id="uuid",
    member_id="uuid",
    tier="text",
    declined_reason="text",
    until="timestamptz",
    decided_at="timestamptz",
)


async def terms(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Terms]:
    """Return the terms of members that have any of their own."""
    if not ids:
        return {}
    return {row.member_id: _terms(row) for row in await session.execute(TERMS, {"ids": list(ids)})}


async def save_terms(session: AsyncSession, held: Mapping[UUID, Terms]) -> None:
    """Write the terms of members, in the order of ids."""
    if not held:
        return
    rows = sorted(held.items())
    each = [terms for _, terms in rows]
    locks = [terms.lock for terms in each]
    await session.execute(
        SAVE_TERMS,
        {
            "ids": [member_id for member_id, _ in rows],
            "firsts": [terms.counts_from for terms in each],
            "ends": [terms.ends_at for terms in each],
            "falls": [terms.falls_at for terms in each],
            "fall_reasons": [terms.falls_reason for terms in each],
            "given": [terms.is_given for terms in each],
            "lock_tiers": [lock and lock.tier for lock in locks],
            "lock_untils": [lock and lock.until for lock in locks],
            "lock_actors": [lock and lock.actor for lock in locks],
            "lock_reasons": [lock and lock.reason for lock in locks],
            "locked": [lock and lock.locked_at for lock in locks],
            "looks": [terms.look_at for terms in each],
        },
    )


async def facts(
    session: AsyncSession,
    asked: Iterable[tuple[Member, date | None]],
    ladder: Ladder,
    *,
    zone_name: str,
    currency: str,
) -> dict[UUID, Facts]:
    """Return what persons did in all and, from the day asked for, by day; spend in one currency."""
    wanted = list(asked)
    days: dict[UUID, dict[date, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    since = [
        (member.id, member_id, ladder.start_of(first))
        for member, first in wanted
        if first is not None
        for member_id in member.person_ids
    ]
    if since:
        people, members, firsts = zip(*since, strict=True)
        parameters = {"persons": people, "members": members, "firsts": firsts}
        found = await session.execute(DAYS_OF_ORDERS, parameters | {"zone": zone_name, "currency": currency})
        for row in found:
            days[row.person_id][row.day][:2] = [row.spend_minor, row.orders]
    points: dict[UUID, int] = defaultdict(int)
    if ladder.counts_points and wanted:
        pairs = [(member.id, member_id) for member, _ in wanted for member_id in member.person_ids]
        people, members = zip(*pairs, strict=True)
        for row in await session.execute(DAYS_OF_POINTS, {"persons": people, "members": members}):
            days[row.person_id][row.day][2] = row.points
            points[row.person_id] += row.points
    return {
        member.id: Facts(
            Figures(member.person_spend_minor, member.person_purchases, points[member.id]),
            {day: Figures(*sums) for day, sums in days[member.id].items()},
        )
        for member, _ in wanted
    }


async def points_totals(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, int]:
    """Return how many points members ever earned, less what was clawed back."""
    if not ids:
        return {}
    rows = await session.execute(POINTS_TOTALS, {"ids": list(ids)})
    return {row.member_id: row.points for row in rows}


async def add_points(session: AsyncSession, earned: Mapping[tuple[UUID, date], int]) -> None:
    """Add points to the days on which members earned them; what was clawed back is negative."""
    if earned:
        rows = sorted(earned.items())
        await session.execute(
            ADD_POINTS,
            {
                "ids": [member_id for (member_id, _), _ in rows],
                "days": [day for (_, day), _ in rows],
                "points": [points for _, points in rows],
            },
        )


async def due_members(session: AsyncSession, *, as_of: datetime | None, limit: int) -> list[UUID]:
    """Lock and return persons whose tier time alone may change by now, each for one caller at a time."""
    return list((await session.scalars(DUE, {"as_of": as_of, "limit": limit})).all())


async def insert_history(session: AsyncSession, past: Sequence[Past], *, version: int) -> None:
    """Write down what befell tiers, and who had it so."""
    if past:
        rows = [
            (
                move.member_id,
                move.kind,
                move.from_tier,
                move.to_tier,
                move.at,
                move.until,
                move.reason,
                actor,
                *move.figures,
                version,
            )
            for move, actor in past
        ]
        await append(session, TIER_HISTORY, rows)


async def history_page(
    session: AsyncSession, ids: Collection[UUID], *, before: int | None, limit: int
) -> Sequence[RowMapping]:
    """Return what befell the tier of a person, the latest first."""
    found = await session.execute(HISTORY_PAGE, {"ids": list(ids), "before": before, "limit": limit})
    return found.mappings().all()


async def insert_purchases(session: AsyncSession, purchases: Sequence[Purchase]) -> None:
    """Write down what became of tiers that were paid for in points."""
    await append(session, TIER_PURCHASES, purchases)


def _terms(row: Any) -> Terms:
    lock = None
    if row.lock_tier is not None:
        lock = Lock(row.lock_tier, row.lock_until, row.lock_actor, row.lock_reason, row.locked_at)
    bought = tuple(map(Gift, row.bought_tiers or (), row.bought_untils or ()))
    return Terms(row.counts_from, row.ends_at, row.falls_at, row.falls_reason, row.is_given, lock, bought)
