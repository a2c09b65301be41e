"""Setting up and calling off activities."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.domain import PACIFIC, group_price, is_too_long
from services.campaigns.errors import (
    ActivityAlreadyOver,
    ActivityEndsTooEarly,
    ActivityNotFound,
    ActivityTooLong,
    AmbiguousLocalTime,
    NonexistentLocalTime,
    PriceTooLow,
    SkuLocked,
)
from services.campaigns.operations.books import locked
from services.campaigns.repository import activities as rows
from services.campaigns.repository import groups as group_rows
from shared.clock import AmbiguousTime, NonexistentTime, local_to_instant, zone
from shared.events import ActivityCancelled, ActivityScheduled
from shared.ids import new_id
from shared.outbox import emit


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSku:
    """A SKU to put on offer; without a discount of its own it has the activity's."""

    sku: str
    product_id: str
    title: str
    normal_price_minor: int
    stock: int
    discount_percent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewActivity:
    """An activity to set up; wall times are naive and of the Pacific zone."""

    name: str
    shop_id: str
    starts_at_local: datetime
    ends_at_local: datetime
    starts_at_fold: int | None
    ends_at_fold: int | None
    group_size: int
    discount_percent: int
    currency: str
    skus: Sequence[NewSku]
    units_per_order: int | None
    units_per_member: int | None
    groups_per_member: int | None
    minimum_remaining_seconds: int
    checkout_url: str | None


@dataclass(frozen=True, slots=True)
class ActivityView:
    """An activity as stored, with its state by the clock, and its SKUs."""

    activity: Row[Any]
    skus: list[Row[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PricedSku:
    sku: str
    product_id: str
    title: str
    normal_price_minor: int
    stock: int
    discount_percent: int
    price_minor: int


async def schedule(session: AsyncSession, new: NewActivity) -> ActivityView:
    """Set up an activity and lock its SKUs. Raises the refusal of the first rule that it breaks."""
    starts_at = _instant(new.starts_at_local, new.starts_at_fold, "starts_at_local")
    ends_at = _instant(new.ends_at_local, new.ends_at_fold, "ends_at_local")
    if ends_at <= max(starts_at, await rows.now(session)) or new.ends_at_local <= new.starts_at_local:
        raise ActivityEndsTooEarly
    if is_too_long(new.starts_at_local, new.ends_at_local):
        raise ActivityTooLong
    skus = [_priced(sku, new.discount_percent) for sku in new.skus]
    activity_id = new_id()
    values: dict[str, Any] = {
        "activity_id": activity_id,
        "shop_id": new.shop_id,
        "name": new.name,
        "currency": new.currency,
        "time_zone": PACIFIC,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "starts_at_local": new.starts_at_local,
        "ends_at_local": new.ends_at_local,
        "group_size": new.group_size,
        "discount_percent": new.discount_percent,
        "units_per_order": new.units_per_order,
        "units_per_member": new.units_per_member,
        "groups_per_member": new.groups_per_member,
        "minimum_remaining_seconds": new.minimum_remaining_seconds,
        "checkout_url": new.checkout_url,
    }
    taken = await rows.lock_skus(session, values, [sku.sku for sku in skus])
    if taken is not None:
        raise SkuLocked(skus=taken)
    await rows.insert_activity(session, values, skus)
    await emit(
        session,
        [
            ActivityScheduled(
                activity_id=activity_id,
                shop_id=new.shop_id,
                starts_at=starts_at,
                ends_at=ends_at,
                group_size=new.group_size,
                discount_percent=new.discount_percent,
                skus=[sku.sku for sku in skus],
            )
        ],
    )
    return await activity(session, activity_id)


def _instant(wall: datetime, fold: int | None, field: str) -> datetime:
    try:
        return local_to_instant(wall, zone(PACIFIC), fold)
    except NonexistentTime:
        raise NonexistentLocalTime(field=field) from None
    except AmbiguousTime:
        raise AmbiguousLocalTime(field=field) from None


def _priced(sku: NewSku, discount_percent: int) -> _PricedSku:
    percent = sku.discount_percent or discount_percent
    price_minor = group_price(sku.normal_price_minor, percent)
    if price_minor < 1:
        raise PriceTooLow(sku=sku.sku)
    return _PricedSku(
        sku=sku.sku,
        product_id=sku.product_id,
        title=sku.title,
        normal_price_minor=sku.normal_price_minor,
        stock=sku.stock,
        discount_percent=percent,
        price_minor=price_minor,
    )


async def activity(session: AsyncSession, activity_id: UUID) -> ActivityView:
    """Return an activity. Raises ActivityNotFound."""
    found = await rows.read_activities(session, [activity_id])
    if not found:
        raise ActivityNotFound
    return ActivityView(found[0], await rows.read_skus(session, [activity_id]))


async def activities(
    session: AsyncSession, *, shop_id: str | None, after: UUID | None, limit: int
) -> list[ActivityView]:
    """Return a page of activities, newest first."""
    found = await rows.list_activities(session, shop_id=shop_id, after=after, limit=limit)
    skus: dict[UUID, list[Row[Any]]] = {row.activity_id: [] for row in found}
    for sku in await rows.read_skus(session, list(skus)):
        skus[sku.activity_id].append(sku)
    return [ActivityView(row, skus[row.activity_id]) for row in found]


async def cancel(session: AsyncSession, activity_id: UUID, reason: str | None) -> ActivityView:
    """Call an activity off: its groups fail, everyone is refunded, its SKUs are free; once."""
    found = await rows.lock_activity(session, activity_id)
    if found is None:
        raise ActivityNotFound
    if found.state == "ended":
        raise ActivityAlreadyOver
    if found.state != "cancelled":
        cancelled_at = await rows.cancel_activity(session, activity_id, reason)
        books = await locked(session, await group_rows.undecided_group_ids(session, activity_id))
        now = await rows.now(session)
        for group in books.groups.values():
            # A payment may have formed it while this waited for its lock.
            if group.state in ("pending", "open", "closing"):
                books.fail(group, "activity_cancelled", now)
        await books.save(session, now)
        await rows.release_skus(session, [activity_id])
        await emit(
            session,
            [
                ActivityCancelled(
                    activity_id=activity_id, shop_id=found.shop_id, reason=reason, cancelled_at=cancelled_at
                )
            ],
        )
    return await activity(session, activity_id)
