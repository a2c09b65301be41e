"""Labels: which tags members have and which groups they are in, as members said."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.repository import erased
from services.points.repository import labels as repository
from services.points.repository.labels import LabelRow


async def record_labels(session: AsyncSession, changes: Sequence[LabelRow]) -> None:
    """Remember the latest word on each label of each member, in whatever order the words are heard."""
    latest: dict[tuple[UUID, str, str], LabelRow] = {}
    for change in changes:
        about = (change.member_id, change.kind, change.label)
        known = latest.get(about)
        if known is None or known.event_id <= change.event_id:
            latest[about] = change
    # Of whoever is erased nothing is kept, however late it is told.
    gone = await erased.erased(session, {change.member_id for change in latest.values()})
    await repository.save_labels(session, (row for row in latest.values() if row.member_id not in gone))
