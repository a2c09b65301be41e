"""A member's points, entries and redemptions."""

from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from services.points import operations
from services.points.api.access import AfterEntry, AfterId, Reader
from services.points.api.redemptions import shown_redemption
from services.points.schemas import (
    EntryOut,
    Expiration,
    Lifetime,
    Maturity,
    PointsShown,
    RedemptionShown,
    Summary,
)
from shared.edge import Transaction, TransactionalRoute, glance
from shared.fast_path import FastGlance
from shared.pagination import DEFAULT_LIMIT, Cursor, InvalidCursor, Limit, Page, cut, decode_cursor
from shared.problems import problem_responses
from shared.schemas import MAX_BIGINT

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["points"])


@router.get("/members/{member_id}/points")
@glance
async def show_points(session: Transaction, caller: Reader, member_id: UUID) -> PointsShown:
    """Show a member's points in every state. A member who has never earned has none."""
    return await _points_of(session, member_id)


async def _points_of(session: AsyncSession, member_id: UUID) -> PointsShown:
    balance = await operations.show_points(session, member_id)
    return PointsShown(
        member_id=member_id,
        account_id=balance.account_id,
        available_points=balance.available_points,
        pending_points=balance.pending_points,
        held_points=balance.held_points,
        debt_points=balance.debt_points,
        lifetime=Lifetime(
            earned=balance.earned_points,
            spent=balance.spent_points,
            expired=balance.expired_points,
            clawed_back=balance.clawed_back_points,
            adjusted=balance.adjusted_points,
            transferred=balance.transferred_points,
            forfeited=balance.forfeited_points,
        ),
        expirations=[Expiration(expires_at=at, points=points) for at, points in balance.expirations],
        maturities=[Maturity(matures_at=at, points=points) for at, points in balance.maturities],
    )


async def _read_points(session: AsyncSession, member_id: UUID) -> bytes:
    return (await _points_of(session, member_id)).model_dump_json().encode()


fast_points = FastGlance("/v1/members/{member_id}/points", "points:read", _read_points)


@router.get("/members/{member_id}/entries", responses=problem_responses(InvalidCursor))
async def show_entries(
    session: Transaction,
    caller: Reader,
    member_id: UUID,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[EntryOut]:
    """List a member's entries with their reasons, the newest first."""
    before = decode_cursor(cursor, AfterEntry).sequence if cursor else MAX_BIGINT
    rows = await operations.show_entries(session, member_id, before=before, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: AfterEntry(row.sequence))
    return Page(
        items=[
            EntryOut(
                entry_id=row.id,
                sequence=row.sequence,
                kind=row.kind,
                contra=row.contra,
                points=row.points,
                about_id=row.about_id,
                # Only what orders earned and refunds took was reckoned from money: a prize, or what one is
                # given for a friend, is about something else.
                order_id=row.about_id if row.basis_minor is not None else None,
                refund_id=row.reference or None if row.basis_minor is not None else None,
                redemption_id=row.redemption_id,
                rule_version=row.rule_version,
                basis_minor=row.basis_minor,
                currency=row.currency,
                actor=row.actor,
                reason=row.reason,
                occurred_at=row.occurred_at,
                recorded_at=row.recorded_at,
            )
            for row in page
        ],
        next_cursor=next_cursor,
    )


@router.get("/members/{member_id}/redemptions", responses=problem_responses(InvalidCursor))
async def show_redemptions(
    session: Transaction,
    caller: Reader,
    member_id: UUID,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[RedemptionShown]:
    """List a member's redemptions, the newest first."""
    before = decode_cursor(cursor, AfterId).id if cursor else None
    rows = await operations.show_redemptions(session, member_id, before=before, limit=limit + 1)
    page, next_cursor = cut(rows, limit, lambda row: AfterId(row.id))
    return Page(items=[shown_redemption(row) for row in page], next_cursor=next_cursor)


@router.get("/summary")
async def summarise(session: Transaction, caller: Reader) -> Summary:
    """Add the whole ledger up, each figure from the table that states it."""
    return Summary(**await operations.summarise(session))
