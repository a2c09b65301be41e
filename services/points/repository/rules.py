"""Statements on the earning rules, what their caps count, and what they know of members."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import EarningRule, RuleBook
from services.points.domain.rule_sets import RuleSet, read_rule_set
from shared.ids import new_id

# A program has a handful of versions that orders still come for; each takes some kilobytes.
MAX_CACHED: Final = 256


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """A version of the earning rules as it is stored; a draft as long as `effective_at` is None."""

    version: int
    name: str | None
    points_per_unit: int | None
    lot_lifetime_days: int | None
    terms: Mapping[str, Any] | None
    effective_at: datetime | None
    ended_at: datetime | None
    created_by: str
    created_at: datetime
    activated_by: str | None
    activated_at: datetime | None


COLUMNS: Final = """version, name, points_per_unit, lot_lifetime_days, CAST(terms AS text) AS terms,
    effective_at, ended_at, created_by, created_at, activated_by, activated_at"""

# Without the documents, which every process reads once.
RULE_BOOK = text(
    """
    SELECT version, points_per_unit, lot_lifetime_days, effective_at, ended_at, terms_id
    FROM earning_rules WHERE effective_at IS NOT NULL ORDER BY version
    """
)

TERMS = text(
    """
    SELECT terms_id, CAST(terms AS text) AS terms FROM earning_rules
    WHERE terms_id = ANY(CAST(:terms_ids AS uuid[]))
    """
)

VERSIONS = text(f"SELECT {COLUMNS} FROM earning_rules ORDER BY version")  # noqa: S608 - a constant

VERSION = text(
    f"SELECT {COLUMNS} FROM earning_rules WHERE version = :version"  # noqa: S608 - a constant
)

# Held until the end of the transaction: two new versions at once would both be the next one.
LOCK_RULES = text("LOCK TABLE earning_rules IN SHARE ROW EXCLUSIVE MODE")

SAVE_RULE = text(
    f"""
    INSERT INTO earning_rules (version, name, points_per_unit, lot_lifetime_days, terms, terms_id,
                               effective_at, ended_at, created_by, activated_by, activated_at)
    VALUES (:version, :name, :points_per_unit, :lot_lifetime_days, CAST(:terms AS json), :terms_id,
            :effective_at, :ended_at, :created_by, :activated_by, :activated_at)
    ON CONFLICT (version) DO UPDATE
    SET name = excluded.name, points_per_unit = excluded.points_per_unit,
        lot_lifetime_days = excluded.lot_lifetime_days, terms = excluded.terms,
        terms_id = excluded.terms_id, effective_at = excluded.effective_at, ended_at = excluded.ended_at,
        activated_by = excluded.activated_by, activated_at = excluded.activated_at
    RETURNING {COLUMNS}
    """  # noqa: S608 - a constant
)

DELETE_RULE = text("DELETE FROM earning_rules WHERE version = :version")

_cache: OrderedDict[UUID, RuleSet] = OrderedDict()


def _rule_version(row: Row[Any]) -> RuleVersion:
    terms = msgspec.json.decode(row.terms) if row.terms is not None else None
    return RuleVersion(**{**row._mapping, "terms": terms})


async def rule_versions(session: AsyncSession) -> list[RuleVersion]:
    """Return all versions of the earning rules and all drafts, the oldest first."""
    return [_rule_version(row) for row in await session.execute(VERSIONS)]


async def rule_version(session: AsyncSession, version: int) -> RuleVersion | None:
    """Return one version or draft."""
    row = (await session.execute(VERSION, {"version": version})).one_or_none()
    return None if row is None else _rule_version(row)


async def rule_book(session: AsyncSession) -> RuleBook:
    """Return the versions that are or were in force, ready to judge by."""
    rows = (await session.execute(RULE_BOOK)).all()
    rule_sets = await _rule_sets(session, [row.terms_id for row in rows if row.terms_id is not None])
    return RuleBook(
        EarningRule(
            row.version,
            row.points_per_unit or 0,
            row.lot_lifetime_days,
            row.effective_at,
            row.ended_at,
            rule_sets.get(row.terms_id),
        )
        for row in rows
    )


async def _rule_sets(session: AsyncSession, terms_ids: Sequence[UUID]) -> dict[UUID, RuleSet]:
    """Return rule sets made ready, each once per process: a document never changes under its id."""
    missing = [terms_id for terms_id in terms_ids if terms_id not in _cache]
    found = {terms_id: _cache[terms_id] for terms_id in terms_ids if terms_id in _cache}
    if missing:
        for row in await session.execute(TERMS, {"terms_ids": missing}):
            found[row.terms_id] = _cache[row.terms_id] = read_rule_set(msgspec.json.decode(row.terms))
        while len(_cache) > MAX_CACHED:
            _cache.popitem(last=False)
    return found


async def lock_rules(session: AsyncSession) -> None:
    """Make other authors of rules wait; readers are not affected."""
    await session.execute(LOCK_RULES)


async def save_rule(session: AsyncSession, rule: RuleVersion) -> RuleVersion:
    """Write a version, new or changed, and return it as it stands."""
    rows = await session.execute(
        SAVE_RULE,
        {
            "version": rule.version,
            "name": rule.name,
            "points_per_unit": rule.points_per_unit,
            "lot_lifetime_days": rule.lot_lifetime_days,
            "terms": msgspec.json.encode(rule.terms).decode() if rule.terms is not None else None,
            "terms_id": new_id() if rule.terms is not None else None,
            "effective_at": rule.effective_at,
            "ended_at": rule.ended_at,
            "created_by": rule.created_by,
            "activated_by": rule.activated_by,
            "activated_at": rule.activated_at,
        },
    )
    return _rule_version(rows.one())


async def delete_draft(session: AsyncSession, version: int) -> None:
    """Forget a draft: nothing was ever judged by it."""
    await session.execute(DELETE_RULE, {"version": version})
