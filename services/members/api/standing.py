"""Where members stand in the tiers and in the lifecycle, how they came there, and locks."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query

from services.members import operations
from services.members.api.answers import stage_out
from services.members.errors import LockEnded, MemberErased, MemberNotFound, UnknownTier
from services.members.operations import Standing, TierLock
from services.members.schemas import (
    LockIn,
    MemberStandingOut,
    StageChangeOut,
    TierChangeOut,
    TierStandingOut,
)
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute
from shared.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, cut, decode_cursor
from shared.problems import Refusal, problem_responses
from shared.schemas import NO_NUL

__all__ = ["router"]

router = APIRouter(prefix="/v1/members/{member_id}", route_class=TransactionalRoute, tags=["standing"])

Reader = Annotated[Caller, Depends(require("members:read"))]
Admin = Annotated[Caller, Depends(require("members:admin"))]


class HistoryPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page of a history ends."""

    id: int


def _standing_out(standing: Standing) -> MemberStandingOut:
    """Shape where a person stands."""
    tier = standing.tier
    return MemberStandingOut(
        member_id=standing.member_id,
        tier=TierStandingOut.model_validate(
            asdict(tier)
            | {
                "tier": None if tier.tier is None else tier.tier.name,
                "benefits": {} if tier.tier is None else dict(tier.tier.benefits),
                "next_tier": None if tier.next_tier is None else tier.next_tier.name,
                "counted": tier.figures._asdict(),
            }
        ),
        stage=stage_out(standing.stage),
    )


@router.get("/standing", responses=problem_responses(MemberNotFound))
async def read_standing(member_id: UUID, session: Transaction, caller: Reader) -> MemberStandingOut:
    """Read a member's tier, what is missing to the next, when it ends, and the lifecycle stage, as of now."""
    return _standing_out(await operations.read_standing(session, member_id))


@router.get("/tier/history", responses=problem_responses(MemberNotFound))
async def read_tier_history(
    member_id: UUID, session: Transaction, caller: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[TierChangeOut]:
    """Read what befell a member's tier, the latest first."""
    before = None if cursor is None else decode_cursor(cursor, HistoryPosition).id
    rows = await operations.read_tier_history(session, member_id, before=before, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: HistoryPosition(row["id"]))
    return Page(items=[TierChangeOut.model_validate(dict(row)) for row in page], next_cursor=next_cursor)


@router.get("/stage/history", responses=problem_responses(MemberNotFound))
async def read_stage_history(
    member_id: UUID, session: Transaction, caller: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[StageChangeOut]:
    """Read the lifecycle stages that were said of a member, the latest first."""
    before = None if cursor is None else decode_cursor(cursor, HistoryPosition).id
    rows = await operations.read_stage_history(session, member_id, before=before, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: HistoryPosition(row["id"]))
    return Page(items=[StageChangeOut.model_validate(dict(row)) for row in page], next_cursor=next_cursor)


@router.put("/tier/lock", responses=problem_responses(LockEnded, MemberErased, MemberNotFound, UnknownTier))
async def lock_tier(
    member_id: UUID, body: LockIn, session: Transaction, caller: Admin, dry_run: DryRun = False
) -> MemberStandingOut:
    """Hold a member in a tier, whatever else happens, until an instant or until it is unlocked."""
    command = TierLock(member_id, body.tier, body.until, body.actor or caller.key_id, body.reason)
    _raise_refusals(await operations.lock_tiers(session, [command]))
    return _standing_out(await operations.read_standing(session, member_id))


@router.delete("/tier/lock", responses=problem_responses(MemberErased, MemberNotFound))
async def unlock_tier(
    member_id: UUID,
    session: Transaction,
    caller: Admin,
    reason: Annotated[str, Query(min_length=1, max_length=200, pattern=NO_NUL)],
    actor: Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_NUL)] = None,
    dry_run: DryRun = False,
) -> MemberStandingOut:
    """End a member's lock; the tier goes at once to what is earned. Without a lock nothing changes."""
    command = TierLock(member_id, None, None, actor or caller.key_id, reason)
    _raise_refusals(await operations.unlock_tiers(session, [command]))
    return _standing_out(await operations.read_standing(session, member_id))


def _raise_refusals(results: list[Refusal | None]) -> None:
    for result in results:
        if result is not None:
            raise result
