"""Statements on referrals."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.writing import columns


class Joined(NamedTuple):
    """A purchase through a shared link, in the order of ADD."""

    order_id: UUID
    referred_id: UUID
    link_id: UUID
    paid_at: datetime


class Waiting(NamedTuple):
    """A referral whose sharer has become known; `refunded` if the order's money has gone back."""

    order_id: UUID
    referred_id: UUID
    referrer_id: UUID
    paid_at: datetime
    refunded: bool


class Granted(NamedTuple):
    """A referral that earned points, of an order whose money has gone back."""

    order_id: UUID
    referrer_id: UUID
    entry_id: UUID
    rule_version: int
    points: int
    refund_id: str


class Outcome(NamedTuple):
    """What became of a referral, in the order of SETTLE."""

    order_id: UUID
    status: str
    refusal: str | None
    referrer_id: UUID
    entry_id: UUID | None
    rule_version: int | None
    points: int


ADD_LINKS = text(
    """
    INSERT INTO share_links (link_id, sharer_id)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]))
    ON CONFLICT (link_id) DO NOTHING
    """
)

ADD = text(
    """
    INSERT INTO referrals (order_id, referred_id, link_id, paid_at)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS uuid[]),
                         CAST(:p3 AS timestamptz[]))
    ON CONFLICT (order_id) DO NOTHING
    """
)

# Two referrals that close a circle together would not see each other otherwise. There are few of them. Not a
# lock of the table: two that have both written to it would wait for each other, and every refund for them.
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('points-referrals', 0))")

REFUNDED = """
    EXISTS (
        SELECT 1 FROM order_refunds
        WHERE order_refunds.order_id = referrals.order_id
        HAVING bool_or(order_refunds.complete) OR sum(order_refunds.amount_minor) >= (
            SELECT entries.basis_minor FROM entries
            WHERE entries.about_id = referrals.order_id AND entries.kind = 'earn' AND entries.reference = ''
        )
    )
"""

WAITING = text(
    f"""
    SELECT referrals.order_id, referrals.referred_id, share_links.sharer_id, referrals.paid_at,
           {REFUNDED} AS refunded
    FROM referrals JOIN share_links ON share_links.link_id = referrals.link_id
    WHERE referrals.status = 'waiting' AND (referrals.order_id = ANY(CAST(:order_ids AS uuid[]))
                                            OR referrals.link_id = ANY(CAST(:link_ids AS uuid[])))
    ORDER BY referrals.paid_at, referrals.order_id
    """  # noqa: S608 - a constant
)

# Who brought these persons, who brought those, and so on, under whichever of their ids.
BROUGHT_BY = text(
    """
    WITH RECURSIVE up(referred_id, referrer_id) AS (
        SELECT CAST(NULL AS uuid), id FROM unnest(CAST(:account_ids AS uuid[])) AS account(id)
        UNION
        SELECT up.referrer_id, coalesce(referrer.merged_into, referrer.member_id)
        FROM up
             CROSS JOIN LATERAL (
                 SELECT up.referrer_id AS member_id
                 UNION ALL SELECT member_id FROM accounts WHERE merged_into = up.referrer_id
             ) AS person
             JOIN referrals ON referrals.referred_id = person.member_id AND referrals.status = 'granted'
             JOIN accounts AS referrer ON referrer.member_id = referrals.referrer_id
    )
    SELECT referred_id, referrer_id FROM up WHERE referred_id IS NOT NULL
    """
)

SETTLE = text(
    """
    UPDATE referrals SET status = new.status, refusal = new.refusal, referrer_id = new.referrer_id,
           entry_id = new.entry_id, rule_version = new.rule_version, points = new.points
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS text[]), CAST(:p3 AS uuid[]),
                CAST(:p4 AS uuid[]), CAST(:p5 AS int[]), CAST(:p6 AS bigint[]))
         AS new(order_id, status, refusal, referrer_id, entry_id, rule_version, points)
    WHERE referrals.order_id = new.order_id
    """
)

TO_TAKE_BACK = text(
    f"""
    UPDATE referrals SET status = 'taken_back'
    WHERE order_id = ANY(CAST(:order_ids AS uuid[])) AND status = 'granted' AND {REFUNDED}
    RETURNING order_id, referrer_id, entry_id, rule_version, points,
              (SELECT max(refund_id) FROM order_refunds WHERE order_refunds.order_id = referrals.order_id)
    """  # noqa: S608 - a constant
)

EXPIRED = text("SELECT id, expired_points FROM lots WHERE id = ANY(CAST(:entry_ids AS uuid[]))")


async def add_links(session: AsyncSession, sharers: Mapping[UUID, UUID]) -> None:
    """Remember who shared links."""
    await session.execute(ADD_LINKS, columns(sorted(sharers.items())))


async def add_referrals(session: AsyncSession, joined: Sequence[Joined]) -> None:
    """Remember purchases through links, each order once."""
    await session.execute(ADD, columns(sorted(joined)))


async def lock_referrals(session: AsyncSession) -> None:
    """Let nobody else settle referrals before the end of the transaction."""
    await session.execute(LOCK)


async def waiting(
    session: AsyncSession, *, order_ids: Iterable[UUID] = (), link_ids: Iterable[UUID] = ()
) -> list[Waiting]:
    """Return referrals of these orders or links that are not settled and whose sharer is known."""
    rows = await session.execute(WAITING, {"order_ids": list(order_ids), "link_ids": list(link_ids)})
    return [Waiting(*row) for row in rows]


async def brought_by(session: AsyncSession, account_ids: Iterable[UUID]) -> list[tuple[UUID, UUID]]:
    """Return (referred, referrer) pairs upwards from these accounts, as far as they go."""
    rows = await session.execute(BROUGHT_BY, {"account_ids": list(account_ids)})
    return [(row.referred_id, row.referrer_id) for row in rows]


async def settle(session: AsyncSession, outcomes: Sequence[Outcome]) -> None:
    """Write what became of referrals."""
    if outcomes:
        await session.execute(SETTLE, columns(outcomes))


async def to_take_back(session: AsyncSession, order_ids: Iterable[UUID]) -> list[Granted]:
    """Mark granted referrals of orders whose money has all gone back, and return them."""
    return [Granted(*row) for row in await session.execute(TO_TAKE_BACK, {"order_ids": list(order_ids)})]


async def expired_points(session: AsyncSession, entry_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return what has expired of the lots that these entries opened; the accounts are locked and settled."""
    return {row[0]: row[1] for row in await session.execute(EXPIRED, {"entry_ids": list(entry_ids)})}
