"""Promotions, and the coupons that members get of them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.errors import PromotionNotFound, ReferenceTaken
from services.campaigns.repository import coupons as rows
from shared.aliases import ids_of_persons
from shared.events import CouponDeclined, CouponIssued
from shared.ids import new_id
from shared.outbox import emit

# Letters and digits that nobody mistakes for each other; 12 of 31 are 59 bits, too many to guess.
CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
CODE_CHARACTERS = 12
MAX_UNPARKED = 1000

# Why a coupon that was paid for is not issued.
UNKNOWN = "unknown_promotion"
ENDED = "promotion_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPromotion:
    """What a coupon is worth; `reference` is a name of the seller's own that rewards may use."""

    name: str
    kind: str
    reference: str | None
    amount_minor: int | None
    currency: str | None
    percent: int | None
    minimum_spend_minor: int | None
    valid_days: int | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A coupon that a member has paid for with points."""

    redemption_id: UUID
    member_id: UUID
    reference: str
    granted_at: datetime


async def define(session: AsyncSession, new: NewPromotion) -> Row[Any]:
    """Define a promotion, and issue what was granted of it before. Raises ReferenceTaken."""
    values = {
        "promotion_id": new_id(),
        "reference": new.reference,
        "name": new.name,
        "kind": new.kind,
        "amount_minor": new.amount_minor,
        "currency": new.currency,
        "percent": new.percent,
        "minimum_spend_minor": new.minimum_spend_minor,
        "valid_days": new.valid_days,
        "ends_at": new.ends_at,
    }
    row = await rows.insert_promotion(session, values)
    if row is None:
        raise ReferenceTaken
    await issue_parked(session, MAX_UNPARKED)
    return row


async def promotion(session: AsyncSession, promotion_id: UUID) -> Row[Any]:
    """Return a promotion. Raises PromotionNotFound."""
    row = await rows.read_promotion(session, promotion_id)
    if row is None:
        raise PromotionNotFound
    return row


async def promotions(session: AsyncSession, *, after: UUID | None, limit: int) -> list[Row[Any]]:
    """Return a page of promotions, newest first."""
    return await rows.list_promotions(session, after=after, limit=limit)


async def coupons_of(
    session: AsyncSession, *, member_id: UUID | None, after: UUID | None, limit: int
) -> list[Row[Any]]:
    """Return a page of coupons, of one person under all ids or of everybody, newest first."""
    members = None
    if member_id is not None:
        members = (await ids_of_persons(session, [member_id])).get(member_id, [member_id])
    return await rows.list_coupons(session, members=members, after=after, limit=limit)


async def grant(session: AsyncSession, grants: Sequence[Grant]) -> int:
    """Issue one coupon per redemption, however often it is told; park those without a promotion yet.

    What a promotion that is over was to be issued of is declined, so that the points can go back.
    """
    unique = {grant.redemption_id: grant for grant in grants}.values()
    return await _decide(session, list(unique))


async def issue_parked(session: AsyncSession, limit: int) -> int:
    """Issue coupons that had to wait for their promotion; return how many."""
    return await _decide(session, await rows.take_parked(session, limit))


async def decline_lapsed(session: AsyncSession, *, hours: int, limit: int) -> int:
    """Decline rewards that have waited too long for their promotion; return how many."""
    return await _decline(session, await rows.take_lapsed(session, hours=hours, limit=limit), UNKNOWN)


async def _decide(session: AsyncSession, grants: Sequence[Any]) -> int:
    if not grants:
        return 0
    found = await rows.find_promotions(session, {grant.reference for grant in grants})
    await rows.park_rewards(session, [grant for grant in grants if grant.reference not in found])
    over = [grant for grant in grants if grant.reference in found and found[grant.reference].is_over]
    await _decline(session, over, ENDED)
    known = {reference: row.promotion_id for reference, row in found.items() if not row.is_over}
    return await _issue(session, [grant for grant in grants if grant.reference in known], known)


async def _decline(session: AsyncSession, grants: Sequence[Any], reason: str) -> int:
    declined = await rows.decline_rewards(session, grants, reason)
    await emit(
        session,
        [
            CouponDeclined(
                member_id=row.member_id,
                redemption_id=row.redemption_id,
                reference=row.reference,
                reason=row.reason,
                declined_at=row.declined_at,
            )
            for row in declined
        ],
    )
    return len(declined)


async def _issue(session: AsyncSession, grants: Sequence[Any], known: dict[str, UUID]) -> int:
    issued = await rows.insert_coupons(
        session,
        [
            {
                "coupon_id": new_id(),
                "promotion_id": known[grant.reference],
                "member_id": grant.member_id,
                "code": "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_CHARACTERS)),
                "redemption_id": grant.redemption_id,
            }
            for grant in grants
        ],
    )
    await emit(
        session,
        [
            CouponIssued(
                coupon_id=row.coupon_id,
                member_id=row.member_id,
                code=row.code,
                promotion_id=row.promotion_id,
                redemption_id=row.redemption_id,
                issued_at=row.issued_at,
                expires_at=row.expires_at,
            )
            for row in issued
        ],
    )
    return len(issued)
