"""Liability: what the program owes its members by month, what that is worth, and what is never spent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository import audit as audit_repository
from services.points.repository import liability as repository
from services.points.repository.ledger import database_now
from services.points.repository.liability import Cohort, ExpiryMonth
from services.points.settings import settings


@dataclass(frozen=True, slots=True)
class Liability:
    """What is owed now; `value_of` says what points are worth, in minor units by currency."""

    as_of: datetime
    zone: str
    months: list[ExpiryMonth]
    cohorts: list[Cohort]
    debt_points: int
    point_values_minor: Mapping[str, Decimal]

    def values_of(self, points: int) -> dict[str, int]:
        """Return what so many points are worth: in each currency, to the nearest minor unit."""
        return {
            currency: int((points * value).quantize(Decimal(1), ROUND_HALF_UP))
            for currency, value in self.point_values_minor.items()
        }


async def show_liability(session: AsyncSession) -> Liability:
    """Add up all lots. Begin a transaction with it: both tables are of one moment."""
    await audit_repository.see_one_moment(session)
    now = await database_now(session)
    zone = settings().zone
    return Liability(
        as_of=now,
        zone=zone,
        months=await repository.by_month_of_expiry(session, zone=zone, now=now),
        cohorts=await repository.by_month_of_issue(session, zone=zone),
        debt_points=await repository.debt_points(session),
        point_values_minor=settings().point_values_minor,
    )
