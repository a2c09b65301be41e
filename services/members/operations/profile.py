"""What somebody says about one member."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import state_attributes
from services.members.operations.changes import Changes
from services.members.settings import settings
from shared.problems import Refusal

__all__ = ["change_profile"]


async def change_profile(
    session: AsyncSession, patches: Sequence[tuple[UUID, Mapping[str, Any], datetime]]
) -> list[Refusal | None]:
    """Set attributes of members: (member, attribute -> value or None, when it was said)."""
    changes = await Changes.begin(session, settings().program_currency)
    await changes.lock({member_id for member_id, _, _ in patches})
    results: list[Refusal | None] = []
    for member_id, attributes, stated_at in patches:
        refusal = changes.refusal_of(member_id)
        if refusal is None:
            state_attributes(changes.members[member_id], attributes, stated_at)
        results.append(refusal)
    await changes.save()
    return results
