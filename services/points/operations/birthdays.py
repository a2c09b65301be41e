"""Birthdays: what members said about whose day it is."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository import caps as repository
from services.points.repository import erased
from services.points.repository.caps import BirthdayRow


async def record_birthdays(session: AsyncSession, birthdays: Sequence[BirthdayRow]) -> None:
    """Remember the latest birthday of each member, in whatever order they are heard."""
    latest: dict[UUID, BirthdayRow] = {}
    for row in birthdays:
        known = latest.get(row.member_id)
        if known is None or known.starts_at <= row.starts_at:
            latest[row.member_id] = row
    # Of whoever is erased nothing is kept, however late it is told.
    for member_id in await erased.erased(session, latest):
        del latest[member_id]
    await repository.save_birthdays(session, latest.values())
