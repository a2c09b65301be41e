"""Statements on the tags of members and the groups that they are in."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain.rule_sets import Label
from services.points.repository.aliases import PERSONS
from shared.writing import columns


class LabelRow(NamedTuple):
    """A row of `member_labels`, in the order of SAVE."""

    member_id: UUID
    kind: str
    label: str
    held: bool
    event_id: UUID


SAVE = text(
    """
    INSERT INTO member_labels (member_id, kind, label, held, event_id)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS text[]),
                         CAST(:p3 AS boolean[]), CAST(:p4 AS uuid[]))
    ON CONFLICT (member_id, kind, label) DO UPDATE SET held = excluded.held, event_id = excluded.event_id
    WHERE member_labels.event_id <= excluded.event_id
    """
)

# Tags and groups stay with the id that they came under; a person has those of all their ids.
HELD = text(
    f"""
    SELECT DISTINCT person.account_id, member_labels.kind, member_labels.label
    FROM {PERSONS}
    JOIN member_labels USING (member_id)
    JOIN unnest(CAST(:kinds AS text[]), CAST(:labels AS text[])) AS asked(kind, label)
        ON member_labels.kind = asked.kind AND member_labels.label = asked.label
    WHERE member_labels.held
    ORDER BY 1, 2, 3
    """  # noqa: S608 - a constant
)


async def save_labels(session: AsyncSession, rows: Iterable[LabelRow]) -> None:
    """Remember what members hold, or hold no longer; at most one row for each label of a member."""
    ordered = sorted(rows)
    if ordered:
        await session.execute(SAVE, columns(ordered))


async def labels_of(
    session: AsyncSession, member_ids: Iterable[UUID], asked: Collection[Label]
) -> Mapping[UUID, Mapping[str, list[str]]]:
    """Return which of the labels asked for members hold, by kind."""
    found: dict[UUID, dict[str, list[str]]] = defaultdict(lambda: {"tag": [], "group": []})
    if asked:
        kinds, labels = zip(*asked, strict=True)
        parameters = {"account_ids": list(member_ids), "kinds": kinds, "labels": labels}
        for member_id, kind, label in await session.execute(HELD, parameters):
            found[member_id][kind].append(label)
    return found
