"""The tier table, the rules of the lifecycle, and the figures of the service."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends

from services.members import operations
from services.members.domain import Ladder
from services.members.schemas import (
    LifecycleIn,
    LifecycleOut,
    SummaryOut,
    TiersIn,
    TiersOut,
    TiersReplaced,
    WouldMoveOut,
)
from services.members.settings import settings
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, encode_cursor

__all__ = ["router"]


class PreviewPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """After whom a preview goes on."""

    member_id: UUID


router = APIRouter(prefix="/v1", route_class=TransactionalRoute)

Reader = Annotated[Caller, Depends(require("members:read"))]
Admin = Annotated[Caller, Depends(require("members:admin"))]


@router.get("/tiers", tags=["program"])
async def read_tiers(session: Transaction, caller: Reader) -> TiersOut:
    """Read the tier table that holds now."""
    return TiersOut.model_validate(_tiers(await operations.read_tiers(session)))


@router.put("/tiers", tags=["program"])
async def replace_tiers(
    body: TiersIn, session: Transaction, caller: Admin, dry_run: DryRun = False
) -> TiersReplaced:
    """Replace the tier table; `dry_run` shows how many members would move. They move within seconds.

    What was promised until a date holds until then, if the new table has the tier.
    """
    change = await operations.replace_tiers(session, body.levels(), body.policy(), actor=caller.key_id)
    moves = [
        {"from_tier": from_tier, "to_tier": to_tier, "members": members}
        for (from_tier, to_tier), members in change.moves.most_common()
    ]
    return TiersReplaced.model_validate(
        _tiers(change.ladder) | {"members_up": change.up, "members_down": change.down, "moves": moves}
    )


@router.post("/tiers/preview", tags=["program"])
async def preview_tiers(
    body: TiersIn, session: Transaction, caller: Admin, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[WouldMoveOut]:
    """Read the members whom a tier table would move now, page by page; nothing is changed.

    A page looks at a bounded number of members: it may hold fewer than `limit`, even none, and not be the
    last one.
    """
    after = None if cursor is None else decode_cursor(cursor, PreviewPosition).member_id
    found, last = await operations.preview_tiers(
        session, body.levels(), body.policy(), after=after, limit=limit
    )
    next_cursor = None if last is None else encode_cursor(PreviewPosition(last))
    return Page(items=[WouldMoveOut(**asdict(each)) for each in found], next_cursor=next_cursor)


@router.get("/lifecycle", tags=["program"])
async def read_lifecycle(session: Transaction, caller: Reader) -> LifecycleOut:
    """Read the rules that lifecycle stages are judged by now, and the strategy of each stage."""
    return LifecycleOut.model_validate(asdict(await operations.read_lifecycle(session)))


@router.put("/lifecycle", tags=["program"])
async def replace_lifecycle(
    body: LifecycleIn, session: Transaction, caller: Admin, dry_run: DryRun = False
) -> LifecycleOut:
    """Replace these rules as a whole; members are judged by them with their next order or within minutes."""
    rules = await operations.replace_lifecycle(session, body.rules(), actor=caller.key_id)
    return LifecycleOut.model_validate(asdict(rules))


@router.get("/summary", tags=["program"])
async def read_summary(session: Transaction, caller: Reader) -> SummaryOut:
    """Read the figures of the service: members, orders by state, revenue, tiers."""
    return SummaryOut.model_validate(asdict(await operations.summarise(session)))


def _tiers(ladder: Ladder) -> dict[str, Any]:
    policy = asdict(ladder.policy)
    return policy | {
        "version": ladder.version,
        "currency": settings().program_currency,
        "time_zone": settings().program_time_zone,
        "tiers": [asdict(level) for level in ladder.levels],
    }
