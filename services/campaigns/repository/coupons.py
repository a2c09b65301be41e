"""Statements about promotions and the coupons issued of them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import savepoint

INSERT_PROMOTION = text(
    """
    INSERT INTO promotions (promotion_id, reference, name, kind, amount_minor, currency, percent,
                            minimum_spend_minor, valid_days, ends_at, created_at)
    VALUES (:promotion_id, :reference, :name, :kind, :amount_minor, :currency, :percent,
            :minimum_spend_minor, :valid_days, :ends_at, clock_timestamp())
    RETURNING *
    """
)

READ_PROMOTION = text("SELECT * FROM promotions WHERE promotion_id = :promotion_id")

LIST_PROMOTIONS = text(
    """
    SELECT * FROM promotions WHERE (CAST(:after AS uuid) IS NULL OR promotion_id < :after)
    ORDER BY promotion_id DESC LIMIT :limit
    """
)

FIND_PROMOTIONS = text(
    """
    SELECT r.reference AS asked, p.promotion_id, coalesce(p.ends_at <= clock_timestamp(), false) AS is_over
    FROM unnest(CAST(:references AS text[])) AS r(reference)
    JOIN promotions p ON p.reference = r.reference OR CAST(p.promotion_id AS text) = lower(r.reference)
    """
)

# The redemption is unique: whoever hears of it again issues nothing, nor does one that was declined.
INSERT_COUPONS = text(
    """
    INSERT INTO coupons (coupon_id, promotion_id, member_id, code, state, redemption_id, issued_at,
                         expires_at)
    SELECT n.coupon_id, n.promotion_id, n.member_id, n.code, 'issued', n.redemption_id, c.now,
           least(p.ends_at, c.now + make_interval(days => CAST(p.valid_days AS integer)))
    FROM unnest(CAST(:coupon_ids AS uuid[]), CAST(:promotion_ids AS uuid[]), CAST(:member_ids AS uuid[]),
                CAST(:codes AS text[]), CAST(:redemption_ids AS uuid[]))
         AS n(coupon_id, promotion_id, member_id, code, redemption_id)
    JOIN promotions p ON p.promotion_id = n.promotion_id
    CROSS JOIN (SELECT clock_timestamp() AS now) c
    WHERE NOT EXISTS (SELECT FROM declined_rewards d WHERE d.redemption_id = n.redemption_id)
    ORDER BY n.redemption_id
    ON CONFLICT (redemption_id) DO NOTHING
    RETURNING *
    """
)

PARK_REWARDS = text(
    """
    INSERT INTO parked_rewards (redemption_id, member_id, reference, granted_at)
    SELECT n.redemption_id, n.member_id, n.reference, n.granted_at
    FROM unnest(CAST(:redemption_ids AS uuid[]), CAST(:member_ids AS uuid[]), CAST(:references AS text[]),
                CAST(:granted_at AS timestamptz[])) AS n(redemption_id, member_id, reference, granted_at)
    WHERE NOT EXISTS (SELECT FROM declined_rewards d WHERE d.redemption_id = n.redemption_id)
    ORDER BY n.redemption_id
    ON CONFLICT DO NOTHING
    """
)

# One whose coupon was issued before its promotion ended is not declined when it is heard of again.
DECLINE_REWARDS = text(
    """
    INSERT INTO declined_rewards (redemption_id, member_id, reference, reason, declined_at)
    SELECT n.redemption_id, n.member_id, n.reference, :reason, clock_timestamp()
    FROM unnest(CAST(:redemption_ids AS uuid[]), CAST(:member_ids AS uuid[]), CAST(:references AS text[]))
         AS n(redemption_id, member_id, reference)
    WHERE NOT EXISTS (SELECT FROM coupons c WHERE c.redemption_id = n.redemption_id)
    ORDER BY n.redemption_id
    ON CONFLICT DO NOTHING
    RETURNING redemption_id, member_id, reference, reason, declined_at
    """
)

TAKE_LAPSED = text(
    """
    DELETE FROM parked_rewards WHERE redemption_id IN (
        SELECT redemption_id FROM parked_rewards
        WHERE granted_at <= clock_timestamp() - make_interval(hours => CAST(:hours AS integer))
        ORDER BY redemption_id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    RETURNING redemption_id, member_id, reference, granted_at
    """
)

TAKE_PARKED = text(
    """
    DELETE FROM parked_rewards WHERE redemption_id IN (
        SELECT w.redemption_id FROM parked_rewards w
        JOIN promotions p ON p.reference = w.reference OR CAST(p.promotion_id AS text) = lower(w.reference)
        ORDER BY w.redemption_id LIMIT :limit FOR UPDATE OF w SKIP LOCKED
    )
    RETURNING redemption_id, member_id, reference, granted_at
    """
)

LIST_COUPONS = text(
    """
    SELECT c.*, p.name, p.kind, p.amount_minor, p.currency, p.percent, p.minimum_spend_minor,
           CASE WHEN c.state = 'issued' AND c.expires_at <= clock_timestamp() THEN 'expired'
                ELSE c.state END AS state_now
    FROM coupons c JOIN promotions p ON p.promotion_id = c.promotion_id
    WHERE (CAST(:members AS uuid[]) IS NULL OR c.member_id = ANY(CAST(:members AS uuid[])))
      AND (CAST(:after AS uuid) IS NULL OR c.coupon_id < :after)
    ORDER BY c.coupon_id DESC LIMIT :limit
    """
)


async def insert_promotion(session: AsyncSession, values: dict[str, Any]) -> Row[Any] | None:
    """Write a promotion; None if its reference is taken."""
    try:
        async with savepoint(session):
            return (await session.execute(INSERT_PROMOTION, values)).one()
    except IntegrityError as error:
        if "uq_promotions_reference" not in str(error.orig):
            raise
        return None


async def read_promotion(session: AsyncSession, promotion_id: UUID) -> Row[Any] | None:
    """Return a promotion, if there is one."""
    return (await session.execute(READ_PROMOTION, {"promotion_id": promotion_id})).one_or_none()


async def list_promotions(session: AsyncSession, *, after: UUID | None, limit: int) -> list[Row[Any]]:
    """Return a page of promotions, newest first."""
    return list((await session.execute(LIST_PROMOTIONS, {"after": after, "limit": limit})).all())


async def find_promotions(session: AsyncSession, references: set[str]) -> dict[str, Row[Any]]:
    """Return the promotion that each reference means, by its id or its own reference, and if it is over."""
    rows = await session.execute(FIND_PROMOTIONS, {"references": sorted(references)})
    return {row.asked: row for row in rows}


async def insert_coupons(session: AsyncSession, coupons: Sequence[dict[str, Any]]) -> list[Row[Any]]:
    """Write coupons; return those whose redemption had none yet."""
    if not coupons:
        return []
    names = ("coupon_id", "promotion_id", "member_id", "code", "redemption_id")
    parameters = {f"{name}s": [coupon[name] for coupon in coupons] for name in names}
    return list((await session.execute(INSERT_COUPONS, parameters)).all())


async def park_rewards(session: AsyncSession, rewards: Sequence[Any]) -> None:
    """Keep rewards whose promotion nobody has defined yet."""
    if rewards:
        await session.execute(
            PARK_REWARDS,
            {
                "redemption_ids": [reward.redemption_id for reward in rewards],
                "member_ids": [reward.member_id for reward in rewards],
                "references": [reward.reference for reward in rewards],
                "granted_at": [reward.granted_at for reward in rewards],
            },
        )


async def decline_rewards(session: AsyncSession, rewards: Sequence[Any], reason: str) -> list[Row[Any]]:
    """Remember that no coupon is issued for rewards; return those that are not decided yet."""
    if not rewards:
        return []
    values = {
        "redemption_ids": [reward.redemption_id for reward in rewards],
        "member_ids": [reward.member_id for reward in rewards],
        "references": [reward.reference for reward in rewards],
        "reason": reason,
    }
    return list((await session.execute(DECLINE_REWARDS, values)).all())


async def take_lapsed(session: AsyncSession, *, hours: int, limit: int) -> list[Row[Any]]:
    """Take rewards that have been parked for so many hours."""
    return list((await session.execute(TAKE_LAPSED, {"hours": hours, "limit": limit})).all())


async def take_parked(session: AsyncSession, limit: int) -> list[Row[Any]]:
    """Take parked rewards whose promotion has come to be."""
    return list((await session.execute(TAKE_PARKED, {"limit": limit})).all())


async def list_coupons(
    session: AsyncSession, *, members: Sequence[UUID] | None, after: UUID | None, limit: int
) -> list[Row[Any]]:
    """Return a page of coupons, newest first."""
    rows = await session.execute(LIST_COUPONS, {"members": members, "after": after, "limit": limit})
    return list(rows.all())
