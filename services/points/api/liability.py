"""What the program owes its members."""

from dataclasses import asdict

from fastapi import APIRouter

from services.points import operations
from services.points.api.access import Reader
from services.points.schemas import CohortOut, ExpiryMonthOut, LiabilityOut
from shared.edge import Transaction, TransactionalRoute

router = APIRouter(prefix="/v1", route_class=TransactionalRoute, tags=["points"])


@router.get("/liability")
async def show_liability(session: Transaction, caller: Reader) -> LiabilityOut:
    """Show outstanding points by month of expiry, and breakage by month of issue. Adds up every lot."""
    found = await operations.show_liability(session)
    outstanding = sum(month.outstanding_points for month in found.months)
    return LiabilityOut(
        as_of=found.as_of,
        zone=found.zone,
        outstanding_points=outstanding,
        held_points=sum(month.held_points for month in found.months),
        pending_points=sum(month.pending_points for month in found.months),
        debt_points=found.debt_points,
        values_minor=found.values_of(outstanding),
        months=[
            ExpiryMonthOut(**asdict(month), values_minor=found.values_of(month.outstanding_points))
            for month in found.months
        ],
        cohorts=[
            CohortOut(
                **asdict(cohort),
                breakage=round(cohort.expired_points / cohort.issued_points, 4)
                if cohort.issued_points
                else None,
            )
            for cohort in found.cohorts
        ],
    )
