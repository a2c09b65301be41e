"""The names that sources know members by, and the addresses that members proved to be theirs."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import ContactPoint, proof_of
from services.members.repository.people import Customer

__all__ = [
    "add_contact_points",
    "add_identities",
    "move_identities",
    "owners_of_proofs",
    "remove_identities",
]

# (member, proof)
Proof = tuple[UUID, str]

OWNERS = text(
    """
    SELECT DISTINCT ON (1, 2) c.proof, coalesce(a.person_id, c.member_id) AS person_id, c.member_id
    FROM contact_points AS c LEFT JOIN aliases AS a ON a.merged_id = c.member_id
    WHERE c.proof = ANY(CAST(:proofs AS text[]))
    ORDER BY 1, 2, 3
    """
)

MOVE_IDENTITIES = text(
    """
    UPDATE identities AS i SET member_id = n.member_id
    FROM unnest(CAST(:sources AS text[]), CAST(:external_ids AS text[]), CAST(:ids AS uuid[]))
        AS n(source, external_id, member_id)
    WHERE (i.source, i.external_id) = (n.source, n.external_id)
    """
)

ADD_IDENTITIES = text(
    """
    INSERT INTO identities (source, external_id, member_id)
    SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:external_ids AS text[]), CAST(:ids AS uuid[]))
    ON CONFLICT (source, external_id) DO NOTHING
    RETURNING source, external_id
    """
)

REMOVE_IDENTITIES = text(
    """
    DELETE FROM identities AS i USING unnest(CAST(:sources AS text[]), CAST(:external_ids AS text[]))
        AS n(source, external_id)
    WHERE (i.source, i.external_id) = (n.source, n.external_id)
    """
)

# Only addresses that are new count against the limit, each member's in the order in which they came. The
# first member to prove an address is marked: whoever proves it at the same time waits for that row, and so
# learns of the other.
ADD_CONTACT_POINTS = text(
    """
    WITH said AS (
        SELECT * FROM unnest(CAST(:member_ids AS uuid[]), CAST(:channels AS text[]),
                             CAST(:addresses AS text[]), CAST(:verified AS boolean[]),
                             CAST(:proofs AS text[]))
            WITH ORDINALITY AS s(member_id, channel, address, verified, proof, position)
    ), proven AS (
        UPDATE contact_points AS c SET verified = true, proof = said.proof FROM said
        WHERE (c.member_id, c.channel, c.address) = (said.member_id, said.channel, said.address)
          AND said.verified AND NOT c.verified
        RETURNING c.member_id, c.channel, c.address
    ), fresh AS (
        SELECT said.*, row_number() OVER (PARTITION BY member_id ORDER BY position) AS place
        FROM said WHERE NOT EXISTS (
            SELECT FROM contact_points AS c
            WHERE (c.member_id, c.channel, c.address) = (said.member_id, said.channel, said.address))
    ), fits AS (
        SELECT * FROM fresh
        WHERE place + (SELECT count(*) FROM contact_points AS c WHERE c.member_id = fresh.member_id)
              <= :limit
    ), added AS (
        INSERT INTO contact_points (member_id, channel, address, verified, proof, is_first)
        SELECT member_id, channel, address, verified, proof, proof IS NOT NULL FROM fits
        ORDER BY proof, member_id
        ON CONFLICT DO NOTHING
        RETURNING member_id, channel, address
    )
    SELECT member_id, channel, address, true AS is_stored FROM proven
    UNION ALL SELECT member_id, channel, address, true FROM added
    UNION ALL (SELECT member_id, channel, address, false FROM fits
               EXCEPT SELECT member_id, channel, address, false FROM added)
    """
)

ADD_FURTHER = text(
    """
    INSERT INTO contact_points (member_id, channel, address, verified, proof, is_first)
    SELECT member_id, channel, address, true, proof, false
    FROM unnest(CAST(:member_ids AS uuid[]), CAST(:channels AS text[]), CAST(:addresses AS text[]),
                CAST(:proofs AS text[])) AS n(member_id, channel, address, proof)
    """
)


async def owners_of_proofs(session: AsyncSession, proofs: Collection[str]) -> dict[str, dict[UUID, UUID]]:
    """Return, by proof, the persons who have it, each with a member id under which they do."""
    owners: dict[str, dict[UUID, UUID]] = defaultdict(dict)
    if proofs:
        for row in await session.execute(OWNERS, {"proofs": list(proofs)}):
            owners[row.proof][row.person_id] = row.member_id
    return owners


async def move_identities(session: AsyncSession, identities: Mapping[Customer, UUID]) -> None:
    """Let names that this transaction claimed be those of other members."""
    if identities:
        await session.execute(MOVE_IDENTITIES, _columns(identities))


async def add_identities(session: AsyncSession, identities: Mapping[Customer, UUID]) -> set[Customer]:
    """Give members further names, in the order of the names; return those that were free."""
    if not identities:
        return set()
    rows = await session.execute(ADD_IDENTITIES, _columns(dict(sorted(identities.items()))))
    return {(row.source, row.external_id) for row in rows}


async def remove_identities(session: AsyncSession, customers: Collection[Customer]) -> None:
    """Take back names that this transaction claimed."""
    if customers:
        await session.execute(
            REMOVE_IDENTITIES,
            {
                "sources": [source for source, _ in customers],
                "external_ids": [external_id for _, external_id in customers],
            },
        )


def _columns(identities: Mapping[Customer, UUID]) -> dict[str, list[Any]]:
    return {
        "sources": [source for source, _ in identities],
        "external_ids": [external_id for _, external_id in identities],
        "ids": list(identities.values()),
    }


async def add_contact_points(
    session: AsyncSession, points: Mapping[UUID, Sequence[ContactPoint]], *, limit: int
) -> tuple[set[UUID], set[Proof]]:
    """Add addresses and proofs of addresses, up to `limit` per member.

    Returns whose profile that changes, and what was proven that was not before.
    """
    verified: dict[tuple[UUID, str, str], bool] = defaultdict(bool)
    for member_id, said in points.items():
        for point in said:
            verified[member_id, point.channel, point.address] |= point.verified
    if not verified:
        return set(), set()
    proofs = {key: proof_of(*key[1:]) if proven else None for key, proven in verified.items()}
    rows = await session.execute(
        ADD_CONTACT_POINTS,
        {
            "member_ids": [member_id for member_id, _, _ in verified],
            "channels": [channel for _, channel, _ in verified],
            "addresses": [address for _, _, address in verified],
            "verified": list(verified.values()),
            "proofs": list(proofs.values()),
            "limit": limit,
        },
    )
    stored = {(row.member_id, row.channel, row.address): row.is_stored for row in rows}
    await _add_further(session, {key: proofs[key] for key, is_stored in stored.items() if not is_stored})
    proven = {(key[0], proof) for key in stored if (proof := proofs[key]) is not None}
    return {member_id for member_id, _, _ in stored}, proven


async def _add_further(session: AsyncSession, points: Mapping[tuple[UUID, str, str], str | None]) -> None:
    """Add addresses that somebody else has proven before."""
    if points:
        await session.execute(
            ADD_FURTHER,
            {
                "member_ids": [member_id for member_id, _, _ in points],
                "channels": [channel for _, channel, _ in points],
                "addresses": [address for _, _, address in points],
                "proofs": list(points.values()),
            },
        )
