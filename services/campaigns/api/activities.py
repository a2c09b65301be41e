"""Routes of activities."""

from dataclasses import fields
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query

from services.campaigns import operations
from services.campaigns.errors import (
    ActivityAlreadyOver,
    ActivityEndsTooEarly,
    ActivityNotFound,
    ActivityTooLong,
    AmbiguousLocalTime,
    NonexistentLocalTime,
    PriceTooLow,
    SkuLocked,
    UnknownTimeZone,
)
from services.campaigns.operations import ActivityView, NewActivity, NewSku
from services.campaigns.schemas import ActivityIn, ActivityOut, CancelIn, InZone, SkuOut
from shared.auth import Caller, require
from shared.clock import UnknownZone, zone
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut, decode_cursor
from shared.problems import problem_responses

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["activities"])

Reader = Annotated[Caller, Depends(require("campaigns:read"))]
Writer = Annotated[Caller, Depends(require("campaigns:write"))]
ZoneName = Annotated[
    str | None,
    Query(max_length=64, description="IANA zone to show the times in.", examples=["Europe/Berlin"]),
]


class AfterId(msgspec.Struct):
    """Where the next page of a list by id begins."""

    id: UUID


def after_id(cursor: str | None) -> UUID | None:
    """Return the id after which a page begins."""
    return None if cursor is None else decode_cursor(cursor, AfterId).id


def _out(view: ActivityView, zone_name: str | None = None) -> ActivityOut:
    row = view.activity
    shown = None
    if zone_name is not None:
        try:
            asked = zone(zone_name)
        except UnknownZone as error:
            raise UnknownTimeZone(str(error)) from None
        shown = InZone(
            zone=zone_name, starts_at=row.starts_at.astimezone(asked), ends_at=row.ends_at.astimezone(asked)
        )
    names = ActivityOut.model_fields.keys() - {"skus", "in_zone"}
    return ActivityOut(
        **{name: getattr(row, name) for name in names},
        in_zone=shown,
        skus=[SkuOut(**{name: getattr(sku, name) for name in SkuOut.model_fields}) for sku in view.skus],
    )


def _command(body: ActivityIn) -> NewActivity:
    values = {
        field.name: getattr(body, field.name)
        for field in fields(NewActivity)
        if field.name not in ("skus", "starts_at_fold", "ends_at_fold")
    }
    return NewActivity(
        **values,
        starts_at_fold=body.fold if body.starts_at_fold is None else body.starts_at_fold,
        ends_at_fold=body.fold if body.ends_at_fold is None else body.ends_at_fold,
        skus=[NewSku(**sku.model_dump()) for sku in body.skus],
    )


@router.post(
    "/activities",
    status_code=201,
    responses=problem_responses(
        NonexistentLocalTime,
        AmbiguousLocalTime,
        ActivityTooLong,
        ActivityEndsTooEarly,
        PriceTooLow,
        SkuLocked,
    ),
)
async def schedule_activity(
    body: ActivityIn, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> ActivityOut:
    """Set up a group-buy activity; from its start it is active by the clock alone."""
    return _out(await operations.schedule(session, _command(body)))


@router.get("/activities", responses=problem_responses(InvalidCursor, UnknownTimeZone))
async def list_activities(
    session: Transaction,
    caller: Reader,
    shop_id: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    zone: ZoneName = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[ActivityOut]:
    """List activities, newest first."""
    views = await operations.activities(session, shop_id=shop_id, after=after_id(cursor), limit=limit + 1)
    page, next_cursor = cut(views, limit, lambda view: AfterId(view.activity.activity_id))
    return Page(items=[_out(view, zone) for view in page], next_cursor=next_cursor)


@router.get("/activities/{activity_id}", responses=problem_responses(ActivityNotFound, UnknownTimeZone))
async def read_activity(
    activity_id: UUID, session: Transaction, caller: Reader, zone: ZoneName = None
) -> ActivityOut:
    """Read one activity with its SKUs."""
    return _out(await operations.activity(session, activity_id), zone)


@router.post(
    "/activities/{activity_id}/cancel", responses=problem_responses(ActivityNotFound, ActivityAlreadyOver)
)
async def cancel_activity(
    activity_id: UUID,
    session: Transaction,
    caller: Writer,
    body: CancelIn | None = None,
    dry_run: DryRun = False,
) -> ActivityOut:
    """Call an activity off: its groups fail, everyone who paid is refunded, its SKUs are free again."""
    return _out(await operations.cancel(session, activity_id, None if body is None else body.reason))
