"""Members, the names that sources know them by, and what they said."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Row, RowMapping, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Link, Member
from shared.events import Consent as ConsentSaid
from shared.events import ContactPoint as ContactPointSaid
from shared.ids import new_ids
from shared.writing import Append, Write, append, write

__all__ = [
    "BARE_SNAPSHOT",
    "Customer",
    "Snapshot",
    "claim_identities",
    "ids_found",
    "insert_members",
    "lock_members",
    "member_ids",
    "members_page",
    "person_of",
    "persons",
    "snapshots",
    "update_members",
    "whole_members",
]

# Typed readers: the snapshot's parts become event structs without a detour over dictionaries.
_read_points = msgspec.json.Decoder(list[ContactPointSaid]).decode
_read_consents = msgspec.json.Decoder(list[ConsentSaid]).decode
_read_words = msgspec.json.Decoder(list[str]).decode
_read_times = msgspec.json.Decoder(dict[str, str]).decode
_read_attributes = msgspec.json.Decoder(dict[str, Any]).decode


class Snapshot(NamedTuple):
    """What a profile snapshot says of a member beside the member's own row."""

    contact_points: list[ContactPointSaid]
    consents: list[ConsentSaid]
    tags: list[str]
    groups: list[str]
    attributes: dict[str, Any]


# Of somebody of whom nothing is known but the row.
BARE_SNAPSHOT = Snapshot([], [], [], [], {})


Customer = tuple[str, str]
"""(source, external customer id)."""

# In the order of the fields of Member, and of ROWS.
MEMBERS = Append(
    "members",
    id="uuid",
    display_name="text",
    locale="text",
    time_zone="text",
    country="text",
    birthday="date",
    attributes_stated_at="jsonb",
    tier="text",
    tier_rank="integer",
    tier_changed_at="timestamptz",
    tier_version="integer",
    spend_minor="bigint",
    orders_count="integer",
    last_order_at="timestamptz",
    revision="bigint",
    purchases_count="integer",
    first_purchase_at="timestamptz",
    last_purchase_at="timestamptz",
    has_tier_terms="boolean",
    stage="text",
    stage_since="timestamptz",
    stage_look_at="timestamptz",
    stage_is_stale="boolean",
)
COLUMNS = ", ".join(MEMBERS.columns)
READ_COLUMNS = COLUMNS.replace(
    "attributes_stated_at", "CAST(attributes_stated_at AS text) AS attributes_stated_at"
)

ROWS = """
    unnest(CAST(:ids AS uuid[]), CAST(:names AS text[]), CAST(:locales AS text[]), CAST(:zones AS text[]),
           CAST(:countries AS text[]), CAST(:birthdays AS date[]), CAST(:stated AS jsonb[]),
           CAST(:tiers AS text[]), CAST(:ranks AS integer[]), CAST(:moved AS timestamptz[]),
           CAST(:versions AS integer[]), CAST(:spends AS bigint[]), CAST(:counts AS integer[]),
           CAST(:ordered AS timestamptz[]), CAST(:revisions AS bigint[]), CAST(:purchases AS integer[]),
           CAST(:first_purchases AS timestamptz[]), CAST(:last_purchases AS timestamptz[]),
           CAST(:terms AS boolean[]), CAST(:stages AS text[]), CAST(:stage_sinces AS timestamptz[]),
           CAST(:stage_looks AS timestamptz[]), CAST(:stage_stale AS boolean[]))
"""

MEMBER_IDS = text(
    """
    SELECT source, external_id, member_id
    FROM unnest(CAST(:sources AS text[]), CAST(:external_ids AS text[])) AS k(source, external_id)
    JOIN identities USING (source, external_id)
    """
)

CLAIM_IDENTITIES = text(
    """
    INSERT INTO identities (source, external_id, member_id)
    SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:external_ids AS text[]), CAST(:ids AS uuid[]))
    ON CONFLICT (source, external_id) DO NOTHING
    RETURNING source, external_id, member_id
    """
)

# Members and everybody who is the same person, each with the link that makes it an alias.
PERSONS = """
    WITH named AS (
        SELECT merged_id, person_id FROM aliases WHERE merged_id = ANY(CAST(:ids AS uuid[])) {hold}
    ), wanted AS (
        SELECT unnest(CAST(:ids AS uuid[])) AS id UNION SELECT person_id FROM named
    )
    SELECT m.*, a.surviving_id, a.person_id, a.merged_at, a.revision AS link_revision
    FROM (SELECT {columns}, erased_at FROM members WHERE id = ANY(ARRAY(
              SELECT id FROM wanted
              UNION SELECT s.merged_id FROM wanted JOIN aliases AS s ON s.person_id = wanted.id))
          ORDER BY id {lock}) AS m
    LEFT JOIN aliases AS a ON a.merged_id = m.id
"""

# The aliases hold still meanwhile: reading them FOR KEY SHARE takes a lock on their table, before the
# statement sees anything, that a merge waits for and that waits for a merge.
LOCK = text(PERSONS.format(columns=READ_COLUMNS, hold="FOR KEY SHARE", lock="FOR NO KEY UPDATE"))
READ = text(PERSONS.format(columns=READ_COLUMNS, hold="", lock=""))

UPDATE_MEMBERS = Write(
    f"""
    UPDATE members SET
        display_name = n.display_name, locale = n.locale, time_zone = n.time_zone, country = n.country,
        birthday = n.birthday, attributes_stated_at = n.attributes_stated_at, tier = n.tier,
        tier_rank = n.tier_rank, tier_changed_at = n.tier_changed_at, tier_version = n.tier_version,
        spend_minor = n.spend_minor, orders_count = n.orders_count, last_order_at = n.last_order_at,
        revision = n.revision, purchases_count = n.purchases_count,
        first_purchase_at = n.first_purchase_at, last_purchase_at = n.last_purchase_at,
        has_tier_terms = n.has_tier_terms, stage = n.stage, stage_since = n.stage_since,
        stage_look_at = n.stage_look_at, stage_is_stale = n.stage_is_stale, updated_at = clock_timestamp()
    FROM {ROWS} AS n({COLUMNS})
    WHERE members.id = n.id
    """  # noqa: S608 - constants
)

SNAPSHOTS = text(
    """
    SELECT k.id,
        (SELECT CAST(json_agg(json_build_object(
             'channel', c.channel, 'address', c.address, 'verified', c.verified)
             ORDER BY c.channel, c.address) AS text)
         FROM contact_points AS c WHERE c.member_id = k.id) AS contact_points,
        (SELECT CAST(json_agg(json_build_object(
             'channel', c.channel, 'purpose', c.purpose, 'granted', c.granted,
             'changed_at', coalesce(c.effective_at, c.stated_at))
             ORDER BY c.channel, c.purpose) AS text)
         FROM consents AS c WHERE c.member_id = k.id) AS consents,
        (SELECT CAST(json_agg(DISTINCT t.tag) AS text) FROM tags AS t WHERE t.member_id = k.id
         AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())) AS tags,
        (SELECT CAST(json_agg(g.group_name ORDER BY g.group_name) AS text)
         FROM group_memberships AS g WHERE g.member_id = k.id) AS groups,
        (SELECT CAST(a.attributes AS text) FROM member_attributes AS a WHERE a.member_id = k.id)
            AS attributes
    FROM unnest(CAST(:ids AS uuid[])) AS k(id)
    """
)

# What came under any id of a person; attributes and consents of several ids are judged by the domain.
WHOLE = """
    SELECT m.id AS member_id, m.created_at, m.display_name, m.locale, m.time_zone, m.country, m.birthday,
        m.attributes_stated_at, m.tier, m.tier_rank, m.tier_changed_at, m.has_tier_terms, m.stage,
        m.stage_since, m.stage_look_at, m.stage_is_stale, m.tier_version, m.first_purchase_at,
        m.last_purchase_at, m.revision, m.updated_at, m.erased_at,
        p.merged_ids,
        sums.spend_minor, sums.orders_count, sums.purchases_count, sums.last_order_at,
        coalesce((SELECT jsonb_agg(jsonb_build_object('source', i.source, 'external_id', i.external_id)
                                   ORDER BY i.source, i.external_id)
                  FROM identities AS i WHERE i.member_id = ANY(p.ids)), '[]') AS identities,
        coalesce((SELECT jsonb_agg(jsonb_build_object('channel', c.channel, 'address', c.address,
                                                      'verified', c.verified) ORDER BY c.channel, c.address)
                  FROM (SELECT channel, address, bool_or(verified) AS verified FROM contact_points
                        WHERE member_id = ANY(p.ids) GROUP BY channel, address) AS c), '[]')
            AS contact_points,
        coalesce((SELECT jsonb_agg(to_jsonb(c) - 'effective_at' ORDER BY c.channel, c.purpose)
                  FROM consents AS c WHERE c.member_id = ANY(p.ids)), '[]') AS consents,
        coalesce((SELECT jsonb_agg(to_jsonb(t) - 'member_id' ORDER BY t.tag, t.source)
                  FROM tags AS t WHERE t.member_id = ANY(p.ids)
                  AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())), '[]') AS tags,
        coalesce((SELECT jsonb_agg(DISTINCT g.group_name)
                  FROM group_memberships AS g WHERE g.member_id = ANY(p.ids)), '[]') AS groups,
        coalesce((SELECT jsonb_object_agg(each.key, each.value ORDER BY a.member_id = m.id, a.updated_at)
                  FROM member_attributes AS a CROSS JOIN jsonb_each(a.attributes) AS each
                  WHERE a.member_id = ANY(p.ids)), '{}') AS attributes
    FROM members AS m CROSS JOIN LATERAL (
        SELECT array_prepend(m.id, array_agg(a.merged_id ORDER BY a.merged_id)) AS ids,
            coalesce(array_agg(a.merged_id ORDER BY a.merged_id)
                     FILTER (WHERE a.merged_id IS NOT NULL), '{}') AS merged_ids
        FROM aliases AS a WHERE a.person_id = m.id) AS p
    CROSS JOIN LATERAL (
        SELECT sum(s.spend_minor)::bigint AS spend_minor, sum(s.orders_count)::bigint AS orders_count,
            sum(s.purchases_count)::bigint AS purchases_count, max(s.last_order_at) AS last_order_at
        FROM members AS s WHERE s.id = ANY(p.ids)) AS sums
"""

WHOLE_COLUMNS = dict.fromkeys(
    (
        "attributes_stated_at",
        "identities",
        "contact_points",
        "consents",
        "tags",
        "groups",
        "attributes",
    ),
    JSONB,
)

WHOLE_MEMBERS = text(
    f"""
    SELECT k.id AS named_id, w.*
    FROM unnest(CAST(:ids AS uuid[])) AS k(id) LEFT JOIN aliases AS n ON n.merged_id = k.id
    CROSS JOIN LATERAL ({WHOLE} WHERE m.id = coalesce(n.person_id, k.id)) AS w
    """  # noqa: S608 - constants
).columns(**WHOLE_COLUMNS)

MEMBERS_PAGE = text(
    f"""
    {WHOLE}
    WHERE m.erased_at IS NULL AND (CAST(:after AS uuid) IS NULL OR m.id > CAST(:after AS uuid))
      AND NOT EXISTS (SELECT FROM aliases AS n WHERE n.merged_id = m.id)
    ORDER BY m.id LIMIT :limit
    """
).columns(**WHOLE_COLUMNS)

# Sources and channels are few, and the first column of their index: from one to the next it is one step.
FIND = text(
    """
    WITH RECURSIVE source AS (
        SELECT min(source) AS name FROM identities
        UNION ALL
        SELECT (SELECT min(source) FROM identities WHERE source > source.name) FROM source
        WHERE source.name IS NOT NULL
    ), channel AS (
        SELECT min(channel) AS name FROM contact_points
        UNION ALL
        SELECT (SELECT min(channel) FROM contact_points WHERE channel > channel.name) FROM channel
        WHERE channel.name IS NOT NULL
    )
    SELECT i.member_id FROM source JOIN identities AS i
        ON i.source = source.name AND i.external_id = :words
    UNION
    SELECT c.member_id FROM channel JOIN contact_points AS c
        ON c.channel = channel.name AND c.address = :words AND c.verified
    UNION
    SELECT member_id FROM contact_points WHERE proof = ANY(CAST(:proofs AS text[])) AND verified
    LIMIT :limit
    """
)


async def ids_found(session: AsyncSession, words: str, proofs: Sequence[str], *, limit: int) -> list[UUID]:
    """Return members whom any source knows by these words, or who proved that address theirs.

    `proofs` are what the words would prove as an address, however it was written.
    """
    found = await session.scalars(FIND, {"words": words, "proofs": list(proofs), "limit": limit})
    return list(found.all())


async def member_ids(session: AsyncSession, customers: Collection[Customer]) -> dict[Customer, UUID]:
    """Return who is known, by (source, external id)."""
    if not customers:
        return {}
    rows = await session.execute(MEMBER_IDS, _customer_columns(list(customers)))
    return {(row.source, row.external_id): row.member_id for row in rows}


async def claim_identities(session: AsyncSession, customers: Collection[Customer]) -> dict[Customer, UUID]:
    """Give each customer a member id of its own, unless somebody else just did; return the new ones.

    The insert is in the order of the names, and waits for other transactions that claim the same ones.
    """
    if not customers:
        return {}
    ordered = sorted(customers)
    rows = await session.execute(
        CLAIM_IDENTITIES, {**_customer_columns(ordered), "ids": new_ids(len(ordered))}
    )
    return {(row.source, row.external_id): row.member_id for row in rows}


async def lock_members(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Member]:
    """Lock members, and whoever is the same person, in the order of ids; return them as they are then."""
    if not ids:
        return {}
    return _persons(await session.execute(LOCK, {"ids": sorted(ids)}))


async def persons(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Member]:
    """Return members, and whoever is the same person, without locking anybody."""
    if not ids:
        return {}
    return _persons(await session.execute(READ, {"ids": list(ids)}))


def person_of(row: Mapping[str, Any]) -> Member | None:
    """The member of a row of `whole_members`, if it is all of the person; None if there are more ids."""
    if row["merged_ids"]:
        return None
    known = {each.name: row[each.name] for each in fields(Member) if each.name in row}
    return Member(row["member_id"], **known)


def _persons(rows: Iterable[Row[Any]]) -> dict[UUID, Member]:
    members: dict[UUID, Member] = {}
    for row in rows:
        columns = tuple(row)
        member = members[row.id] = Member(*columns[:-4])
        member.attributes_stated_at = _read_times(row.attributes_stated_at)
        if row.surviving_id is not None:
            member.link = Link(*columns[-4:])
    for member in members.values():
        if member.link is not None:
            members[member.link.person_id].merged.append(member)
    return members


async def insert_members(session: AsyncSession, members: Sequence[Member]) -> None:
    """Write the rows of new members."""
    if members:
        rows = list(zip(*_member_columns(members).values(), strict=True))
        await append(session, MEMBERS, rows)


async def update_members(session: AsyncSession, members: Sequence[Member]) -> None:
    """Write the rows of members that changed."""
    if members:
        await write(session, UPDATE_MEMBERS, _member_columns(members))


def _member_columns(members: Sequence[Member]) -> dict[str, list[Any]]:
    return {
        "ids": [member.id for member in members],
        "names": [member.display_name for member in members],
        "locales": [member.locale for member in members],
        "zones": [member.time_zone for member in members],
        "countries": [member.country for member in members],
        "birthdays": [member.birthday for member in members],
        "stated": [msgspec.json.encode(member.attributes_stated_at).decode() for member in members],
        "tiers": [member.tier for member in members],
        "ranks": [member.tier_rank for member in members],
        "moved": [member.tier_changed_at for member in members],
        "versions": [member.tier_version for member in members],
        "spends": [member.spend_minor for member in members],
        "counts": [member.orders_count for member in members],
        "ordered": [member.last_order_at for member in members],
        "revisions": [member.revision for member in members],
        "purchases": [member.purchases_count for member in members],
        "first_purchases": [member.first_purchase_at for member in members],
        "last_purchases": [member.last_purchase_at for member in members],
        "terms": [member.has_tier_terms for member in members],
        "stages": [member.stage for member in members],
        "stage_sinces": [member.stage_since for member in members],
        "stage_looks": [member.stage_look_at for member in members],
        "stage_stale": [member.stage_is_stale for member in members],
    }


async def snapshots(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Snapshot]:
    """Return what the profile snapshots of members say beside the members' own rows."""
    if not ids:
        return {}
    rows = await session.execute(SNAPSHOTS, {"ids": list(ids)})
    return {
        row.id: Snapshot(
            _read_points(row.contact_points or "[]"),
            _read_consents(row.consents or "[]"),
            _read_words(row.tags or "[]"),
            _read_words(row.groups or "[]"),
            _read_attributes(row.attributes or "{}"),
        )
        for row in rows
    }


async def whole_members(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, RowMapping]:
    """Return the persons behind members, each under the id asked for, with all that is kept of them."""
    if not ids:
        return {}
    rows = await session.execute(WHOLE_MEMBERS, {"ids": list(ids)})
    return {row["named_id"]: row for row in rows.mappings()}


async def members_page(session: AsyncSession, *, after: UUID | None, limit: int) -> Sequence[RowMapping]:
    """Return persons in the order in which they joined."""
    return (await session.execute(MEMBERS_PAGE, {"after": after, "limit": limit})).mappings().all()


def _customer_columns(customers: Sequence[Customer]) -> dict[str, list[Any]]:
    return {
        "sources": [source for source, _ in customers],
        "external_ids": [external_id for _, external_id in customers],
    }
