"""Do the books agree with themselves?"""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.points import operations
from services.points.api.access import Admin, AfterId
from services.points.operations import Slice
from services.points.schemas import AuditSlice, FindingOut
from shared.edge import Transaction, TransactionalRoute
from shared.pagination import Cursor, InvalidCursor, decode_cursor, encode_cursor
from shared.problems import problem_responses

router = APIRouter(prefix="/v1/audit", route_class=TransactionalRoute, tags=["audit"])

Accounts = Annotated[int, Query(ge=1, le=5_000, description="How many accounts to compare at most.")]
Lots = Annotated[int, Query(ge=1, le=50_000, description="How many lots to compare at most.")]


@router.get("/accounts", responses=problem_responses(InvalidCursor))
async def audit_accounts(
    session: Transaction, caller: Admin, cursor: Cursor = None, limit: Accounts = 1_000
) -> AuditSlice:
    """Compare a stretch of accounts with their entries, hash chains, open lots and holds."""
    return _shown(await operations.audit_accounts(session, after=_after(cursor), accounts=limit))


@router.get("/accounts/{member_id}")
async def audit_member(session: Transaction, caller: Admin, member_id: UUID) -> AuditSlice:
    """Compare everything about one account."""
    return _shown(await operations.audit_member(session, member_id))


@router.get("/lots", responses=problem_responses(InvalidCursor))
async def audit_lots(
    session: Transaction, caller: Admin, cursor: Cursor = None, limit: Lots = 10_000
) -> AuditSlice:
    """Compare a stretch of lots with what entries took from them and holds have pinned of them."""
    return _shown(await operations.audit_lots(session, after=_after(cursor), lots=limit))


def _after(cursor: str | None) -> UUID | None:
    return decode_cursor(cursor, AfterId).id if cursor else None


def _shown(part: Slice) -> AuditSlice:
    return AuditSlice(
        accounts=part.accounts,
        entries=part.entries,
        lots=part.lots,
        members_points=part.members_points,
        contra_points=part.contra_points,
        findings=[FindingOut.model_validate(asdict(each)) for each in part.findings],
        next_cursor=None if part.end is None else encode_cursor(AfterId(part.end)),
    )
