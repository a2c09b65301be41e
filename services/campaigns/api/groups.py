"""Routes of groups, seats and share links."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response

from services.campaigns import operations
from services.campaigns.api.activities import AfterId, Reader, Writer, after_id
from services.campaigns.errors import (
    HOLD_REFUSALS,
    AmountTooLarge,
    GroupClosed,
    GroupNotFound,
    GroupNotOpen,
    SkuNotFound,
)
from services.campaigns.operations import GroupView, Held, JoinGroup, MakeLink, OpenGroup
from services.campaigns.pages import public_url
from services.campaigns.schemas import GroupOut, JoinIn, LinkIn, LinkOut, OpenGroupIn, SeatHeld, SeatOut
from shared.batches import only
from shared.edge import Desk, DryRun, Transaction, TransactionalRoute, desk
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut
from shared.problems import IdempotencyConflict, Overloaded, problem_responses
from shared.signing import InvalidToken

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["groups"])
# A desk has its own transactions, so its route is a plain one.
hot_router = APIRouter(prefix="/v1", tags=["groups"])


def _held(held: Held) -> dict[str, object]:
    seat = held.seat
    return {
        "group_id": seat.group_id,
        "activity_id": seat.activity_id,
        "seat_id": seat.seat_id,
        "seat_no": seat.seat_no,
        "sku": seat.sku,
        "quantity": seat.quantity,
        "held_until": seat.held_until,
        "amount_minor": seat.amount_minor,
        "currency": seat.currency,
        "state": held.group_state,
    }


def _encode(held: Held) -> bytes:
    return msgspec.json.encode(_held(held))


join_desk: Desk[JoinGroup, Held] = Desk("join", operations.join_groups, _encode, status=201)


def _out(view: GroupView, request: Request) -> GroupOut:
    row = view.group
    token = None if view.share is None else operations.token_of(view.share)
    names = GroupOut.model_fields.keys() - {"state", "seats", "seats_left", "link_token", "link_url"}
    return GroupOut(
        **{name: getattr(row, name) for name in names},
        state=row.state_now,
        seats_left=max(0, row.seats_left) if row.state_now in ("pending", "open", "closing") else 0,
        link_token=token,
        link_url=None if token is None else public_url(request, token),
        seats=[
            SeatOut(**{name: getattr(seat, name) for name in SeatOut.model_fields}) for seat in view.seats
        ],
    )


@router.post(
    "/groups",
    status_code=201,
    responses=problem_responses(SkuNotFound, AmountTooLarge, *HOLD_REFUSALS.values()),
)
async def open_group(
    body: OpenGroupIn, session: Transaction, caller: Writer, dry_run: DryRun = False
) -> SeatHeld:
    """Open a group and hold its first seat; the group is visible once the order for that seat is paid."""
    held = only(await operations.open_groups(session, [OpenGroup(**body.model_dump())]))
    return SeatHeld.model_validate(_held(held))


@router.get("/groups", responses=problem_responses(InvalidCursor))
async def list_groups(
    request: Request,
    session: Transaction,
    caller: Reader,
    activity_id: UUID | None = None,
    state: Annotated[
        Literal["pending", "open", "closing", "formed", "failed"] | None, Query(description="As recorded.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[GroupOut]:
    """List groups, newest first."""
    views = await operations.groups(
        session, activity_id=activity_id, state=state, after=after_id(cursor), limit=limit + 1
    )
    page, next_cursor = cut(views, limit, lambda view: AfterId(view.group.group_id))
    return Page(items=[_out(view, request) for view in page], next_cursor=next_cursor)


@router.get("/groups/{group_id}", responses=problem_responses(GroupNotFound))
async def read_group(group_id: UUID, request: Request, session: Transaction, caller: Reader) -> GroupOut:
    """Read a group with its seats, as they are by the clock."""
    return _out(await operations.group(session, group_id), request)


@router.post(
    "/groups/{group_id}/links",
    responses=problem_responses(GroupNotFound, GroupNotOpen, GroupClosed, InvalidToken),
)
async def make_link(
    group_id: UUID,
    body: LinkIn,
    request: Request,
    session: Transaction,
    caller: Writer,
    dry_run: DryRun = False,
) -> LinkOut:
    """Make a link for a member to share on a channel; the same member and channel get the same link."""
    share = await operations.make_link(
        session,
        MakeLink(
            group_id=group_id,
            sharer_id=body.sharer_id,
            channel=body.channel,
            via=None if body.via_token is None else operations.share_of(body.via_token),
        ),
    )
    token = operations.token_of(share)
    return LinkOut(
        link_id=share.link_id,
        token=token,
        url=public_url(request, token),
        channel=share.channel,
        generation=share.generation,
    )


@hot_router.post(
    "/seats",
    status_code=201,
    response_model=SeatHeld,
    responses=problem_responses(
        GroupNotFound,
        AmountTooLarge,
        InvalidToken,
        IdempotencyConflict,
        Overloaded,
        *HOLD_REFUSALS.values(),
    ),
)
async def join_group(request: Request, body: JoinIn, caller: Writer, dry_run: DryRun = False) -> Response:
    """Hold a seat in a group for a while; an order that is paid with this participation keeps it."""
    if body.token is not None:
        share = operations.share_of(body.token)
        command = JoinGroup(
            group_id=share.group_id,
            member_id=body.member_id,
            quantity=body.quantity,
            link_id=share.link_id,
            generation=share.generation + 1,
        )
    else:
        assert body.group_id is not None
        command = JoinGroup(group_id=body.group_id, member_id=body.member_id, quantity=body.quantity)
    return await desk(request, "join").answer(request, command)
