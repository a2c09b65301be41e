"""What members agreed to: what holds under each id, and the evidence."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import ConsentState, Statement

__all__ = ["Key", "consent_states", "log_consents", "save_consents", "save_effective_since"]

Key = tuple[UUID, str, str]
"""(member, channel, purpose)."""

CONSENT_STATES = text(
    """
    SELECT member_id, channel, purpose, granted, stated_at, effective_at FROM consents
    WHERE member_id = ANY(CAST(:ids AS uuid[]))
    """
)

EFFECTIVE_SINCE = text(
    """
    UPDATE consents AS c SET effective_at = :at
    FROM unnest(CAST(:member_ids AS uuid[]), CAST(:channels AS text[]), CAST(:purposes AS text[]))
        AS n(member_id, channel, purpose)
    WHERE (c.member_id, c.channel, c.purpose) = (n.member_id, n.channel, n.purpose)
    """
)

SAVE_CONSENTS = text(
    """
    INSERT INTO consents (member_id, channel, purpose, granted, stated_at, wording_hash, source, effective_at)
    SELECT * FROM unnest(
        CAST(:member_ids AS uuid[]), CAST(:channels AS text[]), CAST(:purposes AS text[]),
        CAST(:granted AS boolean[]), CAST(:stated AS timestamptz[]), CAST(:hashes AS text[]),
        CAST(:sources AS text[]), CAST(:effective AS timestamptz[]))
    ON CONFLICT (member_id, channel, purpose) DO UPDATE SET
        granted = excluded.granted, stated_at = excluded.stated_at, wording_hash = excluded.wording_hash,
        source = excluded.source, effective_at = excluded.effective_at
    """
)

LOG_CONSENTS = text(
    """
    INSERT INTO consent_log (member_id, channel, purpose, granted, stated_at, wording_hash, source, actor)
    SELECT * FROM unnest(
        CAST(:member_ids AS uuid[]), CAST(:channels AS text[]), CAST(:purposes AS text[]),
        CAST(:granted AS boolean[]), CAST(:stated AS timestamptz[]), CAST(:hashes AS text[]),
        CAST(:sources AS text[]), CAST(:actors AS text[]))
    ON CONFLICT ON CONSTRAINT uq_consent_log_statement DO NOTHING
    """
)


async def consent_states(session: AsyncSession, ids: Collection[UUID]) -> dict[Key, ConsentState]:
    """Return what was said last under each of these ids, by (member, channel, purpose)."""
    if not ids:
        return {}
    rows = await session.execute(CONSENT_STATES, {"ids": list(ids)})
    return {
        (row.member_id, row.channel, row.purpose): ConsentState(row.granted, row.stated_at, row.effective_at)
        for row in rows
    }


async def save_consents(
    session: AsyncSession, statements: Sequence[Statement], effective_at: Mapping[Key, datetime]
) -> None:
    """Make statements the ones that hold, one per member, channel and purpose.

    `effective_at` is since when those hold that were said before what had held until now.
    """
    if statements:
        columns = _columns(statements)
        del columns["actors"]
        effective = [effective_at.get(statement.subject) for statement in statements]
        await session.execute(SAVE_CONSENTS, {**columns, "effective": effective})


async def log_consents(session: AsyncSession, statements: Sequence[Statement]) -> None:
    """Add statements to the evidence; one that is there already is not added again."""
    if statements:
        await session.execute(LOG_CONSENTS, _columns(statements))


async def save_effective_since(session: AsyncSession, keys: Collection[Key], at: datetime) -> None:
    """Write down since when words hold that a merge or an unmerge brought into force."""
    if keys:
        await session.execute(
            EFFECTIVE_SINCE,
            {
                "member_ids": [member_id for member_id, _, _ in keys],
                "channels": [channel for _, channel, _ in keys],
                "purposes": [purpose for _, _, purpose in keys],
                "at": at,
            },
        )


def _columns(statements: Sequence[Statement]) -> dict[str, list[object]]:
    return {
        "member_ids": [statement.member_id for statement in statements],
        "channels": [statement.channel for statement in statements],
        "purposes": [statement.purpose for statement in statements],
        "granted": [statement.granted for statement in statements],
        "stated": [statement.stated_at for statement in statements],
        "hashes": [statement.wording_hash for statement in statements],
        "sources": [statement.source for statement in statements],
        "actors": [statement.actor for statement in statements],
    }
