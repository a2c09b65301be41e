"""Statements about contacts, their addresses, consents and suppressed addresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.events import MemberProfile

__all__ = [
    "ConsentRow",
    "addresses_of",
    "count_consents",
    "count_contacts",
    "erase",
    "find_contact",
    "lift_suppression",
    "save_consents",
    "save_contact_points",
    "save_profiles",
    "suppress",
    "suppress_for_a_while",
    "withdraw",
]


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """What a member said about a channel and a purpose, and when."""

    member_id: UUID
    channel: str
    purpose: str
    granted: bool
    changed_at: datetime
    source: str


# Rows go in as one JSON document: a tag list per row rules out parallel arrays, and parsing JSON is cheap.
SAVE_PROFILES = text(
    """
    INSERT INTO contacts (member_id, revision, display_name, locale, time_zone, country, birthday, tier,
                          tags, updated_at)
    SELECT p.member_id, p.revision, p.display_name, p.locale, p.time_zone, p.country, p.birthday, p.tier,
           COALESCE(p.tags, '{}'), p.updated_at
    FROM jsonb_to_recordset(CAST(:profiles AS jsonb)) AS p(
        member_id uuid, revision bigint, display_name text, locale text, time_zone text, country text,
        birthday date, tier text, tags text[], updated_at timestamptz)
    ORDER BY p.member_id
    ON CONFLICT (member_id) DO UPDATE SET
        revision = excluded.revision, display_name = excluded.display_name, locale = excluded.locale,
        time_zone = excluded.time_zone, country = excluded.country, birthday = excluded.birthday,
        tier = excluded.tier, tags = excluded.tags, updated_at = excluded.updated_at
    WHERE contacts.revision < excluded.revision AND contacts.erased_at IS NULL
    RETURNING member_id
    """
)

FIND_CONTACT = text(
    """
    SELECT CAST(member_id AS text) AS id, display_name, locale, country, time_zone, tier, tags
    FROM contacts WHERE member_id = :member_id AND erased_at IS NULL
    """
)

REMOVE_CONTACT_POINTS = text(
    """
    DELETE FROM contact_points c
    WHERE c.member_id = ANY(CAST(:applied AS uuid[])) AND NOT EXISTS (
        SELECT FROM unnest(CAST(:members AS uuid[]), CAST(:channels AS text[]), CAST(:addresses AS text[]))
            AS p(member_id, channel, address)
        WHERE (p.member_id, p.channel, p.address) = (c.member_id, c.channel, c.address))
    """
)

SAVE_CONTACT_POINTS = text(
    """
    INSERT INTO contact_points (member_id, channel, address, verified, position)
    SELECT DISTINCT ON (member_id, channel, address) member_id, channel, address, verified, position
    FROM unnest(CAST(:members AS uuid[]), CAST(:channels AS text[]), CAST(:addresses AS text[]),
                CAST(:verified AS boolean[]), CAST(:positions AS smallint[]))
         AS p(member_id, channel, address, verified, position)
    ORDER BY member_id, channel, address, position
    ON CONFLICT (member_id, channel, address) DO UPDATE SET
        verified = excluded.verified, position = excluded.position
    WHERE (contact_points.verified, contact_points.position) <> (excluded.verified, excluded.position)
    """
)

SAVE_CONSENTS = text(
    """
    INSERT INTO consents (member_id, channel, purpose, granted, changed_at, source)
    SELECT DISTINCT ON (c.member_id, c.channel, c.purpose) c.*
    FROM unnest(CAST(:members AS uuid[]), CAST(:channels AS text[]), CAST(:purposes AS text[]),
                CAST(:granted AS boolean[]), CAST(:changed_at AS timestamptz[]), CAST(:sources AS text[]))
         AS c(member_id, channel, purpose, granted, changed_at, source)
    WHERE NOT EXISTS (
        SELECT FROM contacts WHERE contacts.member_id = c.member_id AND contacts.erased_at IS NOT NULL)
    ORDER BY c.member_id, c.channel, c.purpose, c.changed_at DESC, c.granted
    ON CONFLICT (member_id, channel, purpose) DO UPDATE SET
        granted = excluded.granted, changed_at = excluded.changed_at, source = excluded.source
    WHERE excluded.changed_at > consents.changed_at
       OR (excluded.changed_at = consents.changed_at AND consents.granted AND NOT excluded.granted)
    RETURNING member_id, channel, purpose, granted
    """
)

# A withdrawal that is repeated changes nothing, so that it is said once.
WITHDRAW = text(
    """
    INSERT INTO consents (member_id, channel, purpose, granted, changed_at, source)
    SELECT :member_id, :channel, :purpose, false, :changed_at, :source
    WHERE NOT EXISTS (
        SELECT FROM contacts WHERE contacts.member_id = :member_id AND contacts.erased_at IS NOT NULL)
    ON CONFLICT (member_id, channel, purpose) DO UPDATE SET
        granted = false, changed_at = GREATEST(consents.changed_at, excluded.changed_at),
        source = excluded.source
    WHERE consents.granted
    RETURNING member_id
    """
)

ERASE = text(
    """
    INSERT INTO contacts (member_id, revision, erased_at)
    SELECT DISTINCT ON (member_id) member_id, 0, at
    FROM unnest(CAST(:members AS uuid[]), CAST(:at AS timestamptz[])) AS e(member_id, at)
    ORDER BY member_id, at
    ON CONFLICT (member_id) DO UPDATE SET
        display_name = NULL, locale = NULL, time_zone = NULL, country = NULL, birthday = NULL, tier = NULL,
        tags = '{}', updated_at = NULL, erased_at = LEAST(contacts.erased_at, excluded.erased_at)
    """
)
ERASE_CONTACT_POINTS = text("DELETE FROM contact_points WHERE member_id = ANY(CAST(:members AS uuid[]))")
ERASE_CONSENTS = text("DELETE FROM consents WHERE member_id = ANY(CAST(:members AS uuid[]))")
# The id of a message follows from its occurrence and stays, so that the same event is never sent again.
ERASE_MESSAGES = text(
    """
    UPDATE messages SET facts = '{}', occurrence = ''
    WHERE member_id = ANY(CAST(:members AS uuid[])) AND (facts <> '{}' OR occurrence <> '')
    """
)

# The address is hashed in one place, here, so that every statement means the same by it.
ADDRESS_HASH = "sha256(convert_to(lower({address}), 'UTF8'))"

SUPPRESS_FOR_A_WHILE = text(
    f"""
    INSERT INTO suppressions (channel, address_hash, reason, expires_at)
    SELECT p.channel, p.address_hash, :reason, clock_timestamp() + make_interval(secs => :seconds)
    FROM (SELECT DISTINCT channel, {ADDRESS_HASH.format(address="address")} AS address_hash
          FROM unnest(CAST(:channels AS text[]), CAST(:addresses AS text[])) AS a(channel, address)
          ORDER BY 1, 2) AS p
    ON CONFLICT (channel, address_hash) DO UPDATE SET
        reason = excluded.reason, created_at = clock_timestamp(), expires_at = excluded.expires_at
    """  # noqa: S608 - the address is a column, not input
)

SUPPRESS = text(
    f"""
    INSERT INTO suppressions (channel, address_hash, reason, expires_at)
    VALUES (:channel, {ADDRESS_HASH.format(address="CAST(:address AS text)")}, :reason, NULL)
    ON CONFLICT (channel, address_hash) DO UPDATE SET
        reason = excluded.reason, created_at = clock_timestamp(), expires_at = NULL
    """  # noqa: S608 - the address is a parameter
)

LIFT_SUPPRESSION = text(
    f"""
    DELETE FROM suppressions
    WHERE channel = :channel AND address_hash = {ADDRESS_HASH.format(address="CAST(:address AS text)")}
    """  # noqa: S608 - the address is a parameter
)


async def save_profiles(session: AsyncSession, profiles: Sequence[MemberProfile]) -> set[UUID]:
    """Store snapshots, one per member, that are newer than what is known; return whose were."""
    document = msgspec.json.encode(profiles).decode()
    return set((await session.scalars(SAVE_PROFILES, {"profiles": document})).all())


async def find_contact(session: AsyncSession, member_id: UUID) -> dict[str, Any] | None:
    """A member as templates see them, or None if unknown or erased."""
    row = (await session.execute(FIND_CONTACT, {"member_id": member_id})).one_or_none()
    return None if row is None else dict(row._mapping)


async def save_contact_points(
    session: AsyncSession, applied: set[UUID], profiles: Sequence[MemberProfile]
) -> None:
    """Make the addresses of the `applied` members those of their snapshots."""
    rows = [
        (profile.member_id, point.channel, point.address, point.verified, position)
        for profile in profiles
        if profile.member_id in applied
        for position, point in enumerate(profile.contact_points)
    ]
    members, channels, addresses, verified, positions = _columns(rows, 5)
    named = {"members": members, "channels": channels, "addresses": addresses}
    await session.execute(REMOVE_CONTACT_POINTS, {"applied": list(applied), **named})
    if rows:
        await session.execute(SAVE_CONTACT_POINTS, {**named, "verified": verified, "positions": positions})


async def save_consents(session: AsyncSession, rows: Sequence[ConsentRow]) -> list[ConsentRow]:
    """Store what members said where it is newer than what they said before; return the rows that were."""
    if not rows:
        return []
    members, channels, purposes, granted, changed_at, sources = _columns(
        [(r.member_id, r.channel, r.purpose, r.granted, r.changed_at, r.source) for r in rows], 6
    )
    result = await session.execute(
        SAVE_CONSENTS,
        {
            "members": members,
            "channels": channels,
            "purposes": purposes,
            "granted": granted,
            "changed_at": changed_at,
            "sources": sources,
        },
    )
    stored = {(row.member_id, row.channel, row.purpose, row.granted) for row in result}
    return [row for row in rows if (row.member_id, row.channel, row.purpose, row.granted) in stored]


async def withdraw(session: AsyncSession, row: ConsentRow) -> bool:
    """Store a member's no; say whether it is new."""
    stored = await session.scalar(
        WITHDRAW,
        {
            "member_id": row.member_id,
            "channel": row.channel,
            "purpose": row.purpose,
            "changed_at": row.changed_at,
            "source": row.source,
        },
    )
    return stored is not None


async def erase(session: AsyncSession, members: Sequence[UUID], at: Sequence[datetime]) -> None:
    """Forget members for good, whether they are known or not.

    The ledger of messages keeps that something was sent, when and of which template, and not what about.
    """
    await session.execute(ERASE, {"members": list(members), "at": list(at)})
    await session.execute(ERASE_CONTACT_POINTS, {"members": list(members)})
    await session.execute(ERASE_CONSENTS, {"members": list(members)})
    await session.execute(ERASE_MESSAGES, {"members": list(members)})


async def addresses_of(session: AsyncSession, members: Sequence[UUID]) -> set[str]:
    """Return the addresses of members."""
    rows = await session.scalars(
        text("SELECT address FROM contact_points WHERE member_id = ANY(CAST(:members AS uuid[]))"),
        {"members": list(members)},
    )
    return set(rows.all())


async def suppress_for_a_while(
    session: AsyncSession, rows: Sequence[tuple[str, str]], *, reason: str, seconds: int
) -> None:
    """Leave (channel, address) alone for a while."""
    channels, addresses = _columns(rows, 2)
    await session.execute(
        SUPPRESS_FOR_A_WHILE,
        {
            "channels": channels,
            "addresses": addresses,
            "reason": reason,
            "seconds": float(seconds),
        },
    )


async def suppress(session: AsyncSession, *, channel: str, address: str, reason: str) -> None:
    """Leave an address alone until somebody lifts it."""
    await session.execute(SUPPRESS, {"channel": channel, "address": address, "reason": reason})


async def lift_suppression(session: AsyncSession, *, channel: str, address: str) -> bool:
    """Stop leaving an address alone; say whether it was."""
    result = await session.execute(LIFT_SUPPRESSION, {"channel": channel, "address": address})
    return int(getattr(result, "rowcount", 0)) > 0


async def count_contacts(session: AsyncSession) -> int:
    """Members that are known and not erased."""
    return int(await session.scalar(text("SELECT count(*) FROM contacts WHERE erased_at IS NULL")) or 0)


async def count_consents(session: AsyncSession) -> int:
    """Granted consents."""
    return int(await session.scalar(text("SELECT count(*) FROM consents WHERE granted")) or 0)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
