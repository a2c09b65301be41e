"""The tier table and the figures of the service."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from services.members import operations
from services.members.domain import Ladder, Level
from services.members.schemas import SummaryOut, TiersIn, TiersOut, TiersReplaced
from services.members.settings import settings
from shared.auth import Caller, require
from shared.edge import DryRun, Transaction, TransactionalRoute

__all__ = ["router"]

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
    """Replace the tier table; `dry_run` shows how many members would move. They move within seconds."""
    levels = [Level(tier.name, tier.rank, tier.min_spend_minor, tier.benefits) for tier in body.root]
    change = await operations.replace_tiers(session, levels, actor=caller.key_id)
    moves = {"members_up": change.up, "members_down": change.down}
    return TiersReplaced.model_validate(_tiers(change.ladder) | moves)


@router.get("/summary", tags=["program"])
async def read_summary(session: Transaction, caller: Reader) -> SummaryOut:
    """Read the figures of the service: members, orders by state, revenue, tiers."""
    return SummaryOut.model_validate(asdict(await operations.summarise(session)))


def _tiers(ladder: Ladder) -> dict[str, Any]:
    return {
        "version": ladder.version,
        "currency": settings().program_currency,
        "tiers": [
            {
                "name": level.name,
                "rank": level.rank,
                "min_spend_minor": level.min_spend_minor,
                "benefits": dict(level.benefits),
            }
            for level in ladder.levels
        ],
    }
