"""Groups, and the attributes that the operator's own schema knows."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

__all__ = [
    "add_to_group",
    "attribute_documents",
    "attributes_of",
    "current_schema",
    "delete_group",
    "group_exists",
    "group_is_empty",
    "group_members",
    "groups_of",
    "groups_page",
    "insert_schema",
    "keep_group",
    "lock_schemas",
    "remove_from_group",
    "save_attributes",
    "save_group",
]

CURRENT_SCHEMA = text("SELECT version, schema FROM attribute_schemas ORDER BY version DESC LIMIT 1").columns(
    schema=JSONB
)

INSERT_SCHEMA = text(
    """
    INSERT INTO attribute_schemas (version, schema, created_by)
    VALUES (:version, CAST(:schema AS jsonb), :actor)
    """
)

ATTRIBUTES_OF = text(
    "SELECT member_id, attributes FROM member_attributes WHERE member_id = ANY(CAST(:ids AS uuid[]))"
).columns(attributes=JSONB)

SAVE_ATTRIBUTES = text(
    """
    INSERT INTO member_attributes (member_id, attributes, schema_version)
    SELECT id, attributes, :version
    FROM unnest(CAST(:ids AS uuid[]), CAST(:attributes AS jsonb[])) AS n(id, attributes)
    ON CONFLICT (member_id) DO UPDATE SET
        attributes = excluded.attributes, schema_version = excluded.schema_version,
        updated_at = clock_timestamp()
    """
)

DOCUMENTS = text(
    """
    SELECT member_id, attributes FROM member_attributes
    WHERE CAST(:after AS uuid) IS NULL OR member_id > CAST(:after AS uuid) ORDER BY member_id LIMIT :limit
    """
).columns(attributes=JSONB)

SAVE_GROUP = text(
    """
    INSERT INTO member_groups (name, title, created_by) VALUES (:name, :title, :actor)
    ON CONFLICT (name) DO UPDATE SET title = excluded.title
    """
)

GROUP = text("SELECT 1 FROM member_groups WHERE name = :name")
# Nobody deletes the group while members are put into it, and the other way round.
GROUP_FOR_MEMBERS = text("SELECT 1 FROM member_groups WHERE name = :name FOR KEY SHARE")
GROUP_FOR_DELETION = text("SELECT 1 FROM member_groups WHERE name = :name FOR UPDATE")
GROUP_HAS_MEMBERS = text("SELECT EXISTS (SELECT FROM group_memberships WHERE group_name = :name)")

GROUPS_PAGE = text(
    """
    SELECT name, title, created_by, created_at FROM member_groups
    WHERE CAST(:after AS text) IS NULL OR name > CAST(:after AS text) ORDER BY name LIMIT :limit
    """
)

GROUP_MEMBERS = text(
    """
    SELECT member_id, added_by, added_at FROM group_memberships
    WHERE group_name = :name AND (CAST(:after AS uuid) IS NULL OR member_id > CAST(:after AS uuid))
    ORDER BY member_id LIMIT :limit
    """
)

GROUPS_OF = text(
    """
    SELECT member_id, array_agg(group_name) AS groups FROM group_memberships
    WHERE member_id = ANY(CAST(:ids AS uuid[])) GROUP BY member_id
    """
)

ADD = text(
    """
    INSERT INTO group_memberships (member_id, group_name, added_by)
    SELECT id, :name, :actor FROM unnest(CAST(:ids AS uuid[])) AS n(id)
    """
)

REMOVE = text(
    "DELETE FROM group_memberships WHERE group_name = :name AND member_id = ANY(CAST(:ids AS uuid[]))"
)


async def current_schema(session: AsyncSession) -> tuple[int, dict[str, Any]] | None:
    """Return the schema that holds now with its version; None if none was ever set."""
    row = (await session.execute(CURRENT_SCHEMA)).first()
    return None if row is None else (row.version, row.schema)


async def lock_schemas(session: AsyncSession) -> None:
    """Let only one change of the schema happen at a time; readers are not kept waiting."""
    await session.execute(text("LOCK TABLE attribute_schemas IN SHARE ROW EXCLUSIVE MODE"))


async def insert_schema(session: AsyncSession, version: int, schema: Mapping[str, Any], actor: str) -> None:
    """Write a new version of the schema."""
    await session.execute(INSERT_SCHEMA, {"version": version, "schema": _text(schema), "actor": actor})


async def attributes_of(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return the attributes of members who have any."""
    rows = await session.execute(ATTRIBUTES_OF, {"ids": list(ids)})
    return {row.member_id: row.attributes for row in rows}


async def save_attributes(
    session: AsyncSession, attributes: Mapping[UUID, Mapping[str, Any]], version: int
) -> None:
    """Write the attributes of members, as a version of the schema has accepted them."""
    if attributes:
        documents = [_text(document) for document in attributes.values()]
        await session.execute(
            SAVE_ATTRIBUTES, {"ids": list(attributes), "attributes": documents, "version": version}
        )


async def attribute_documents(
    session: AsyncSession, *, after: UUID | None, limit: int
) -> list[tuple[UUID, dict[str, Any]]]:
    """Return the attributes of members in the order of their ids."""
    rows = await session.execute(DOCUMENTS, {"after": after, "limit": limit})
    return [(row.member_id, row.attributes) for row in rows]


async def save_group(session: AsyncSession, name: str, title: str | None, actor: str) -> None:
    """Make a group, or give it another title."""
    await session.execute(SAVE_GROUP, {"name": name, "title": title, "actor": actor})


async def group_exists(session: AsyncSession, name: str) -> bool:
    """Say whether there is a group."""
    return (await session.execute(GROUP, {"name": name})).first() is not None


async def keep_group(session: AsyncSession, name: str) -> bool:
    """Keep a group from being deleted until the end of the transaction; false if there is none."""
    return (await session.execute(GROUP_FOR_MEMBERS, {"name": name})).first() is not None


async def group_is_empty(session: AsyncSession, name: str) -> bool | None:
    """Lock a group and say whether it has no members; None if there is no such group."""
    if (await session.execute(GROUP_FOR_DELETION, {"name": name})).first() is None:
        return None
    return not (await session.scalars(GROUP_HAS_MEMBERS, {"name": name})).one()


async def delete_group(session: AsyncSession, name: str) -> None:
    """Delete a group that has no members."""
    await session.execute(text("DELETE FROM member_groups WHERE name = :name"), {"name": name})


async def groups_page(session: AsyncSession, *, after: str | None, limit: int) -> Sequence[RowMapping]:
    """Return groups by name."""
    return (await session.execute(GROUPS_PAGE, {"after": after, "limit": limit})).mappings().all()


async def group_members(
    session: AsyncSession, name: str, *, after: UUID | None, limit: int
) -> Sequence[RowMapping]:
    """Return who is in a group, in the order in which they joined the program."""
    rows = await session.execute(GROUP_MEMBERS, {"name": name, "after": after, "limit": limit})
    return rows.mappings().all()


async def groups_of(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, set[str]]:
    """Return the groups of members who are in any."""
    rows = await session.execute(GROUPS_OF, {"ids": list(ids)})
    return {row.member_id: set(row.groups) for row in rows}


async def add_to_group(session: AsyncSession, name: str, ids: Collection[UUID], actor: str) -> None:
    """Put members into a group that they are not in."""
    if ids:
        await session.execute(ADD, {"name": name, "ids": sorted(ids), "actor": actor})


async def remove_from_group(session: AsyncSession, name: str, ids: Collection[UUID]) -> None:
    """Take members out of a group."""
    if ids:
        await session.execute(REMOVE, {"name": name, "ids": list(ids)})


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
