"""The earning rules: drafts, and versions that are put into force and ended."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain.rule_sets import RuleSetError, read_rule_set
from services.points.errors import (
    InvalidRuleSet,
    RuleInThePast,
    RuleIsActive,
    RuleNotFound,
    RuleRequired,
)
from services.points.repository import ledger as ledger_repository
from services.points.repository import rules as repository
from services.points.repository.rules import RuleVersion


@dataclass(frozen=True, slots=True)
class NewRule:
    """What a new version says in the simple form; it is in force at once if `effective_at` is None."""

    points_per_unit: int
    lot_lifetime_days: int | None
    effective_at: datetime | None


async def show_earning_rules(session: AsyncSession) -> tuple[list[RuleVersion], RuleVersion]:
    """Return all versions and drafts of the earning rules, and the version in force now."""
    versions = await repository.rule_versions(session)
    now = await ledger_repository.database_now(session)
    number = (await repository.rule_book(session)).at(now).version
    return versions, next(version for version in versions if version.version == number)


async def show_earning_rule(session: AsyncSession, version: int) -> RuleVersion:
    """Return one version or draft; raises `RuleNotFound`."""
    found = await repository.rule_version(session, version)
    if found is None:
        raise RuleNotFound(version=version)
    return found


async def add_earning_rule(session: AsyncSession, new: NewRule, *, actor: str) -> RuleVersion:
    """Put a version in the simple form into force; raises `RuleInThePast`."""
    draft = await _new_draft(session, actor)
    draft = replace(draft, points_per_unit=new.points_per_unit, lot_lifetime_days=new.lot_lifetime_days)
    return await _activate(session, draft, new.effective_at, actor=actor)


async def draft_rule_set(
    session: AsyncSession, terms: Mapping[str, Any], *, name: str | None, actor: str
) -> RuleVersion:
    """Keep a rule set as a draft, by which nothing earns yet; raises `InvalidRuleSet`."""
    check_rule_set(terms)
    draft = await _new_draft(session, actor)
    return await repository.save_rule(session, replace(draft, name=name, terms=terms))


async def change_draft(
    session: AsyncSession, version: int, terms: Mapping[str, Any], *, name: str | None
) -> RuleVersion:
    """Let a draft say something else; raises `RuleNotFound`, `RuleIsActive` and `InvalidRuleSet`."""
    check_rule_set(terms)
    await repository.lock_rules(session)
    draft = await show_earning_rule(session, version)
    if draft.effective_at is not None:
        raise RuleIsActive(version=version)
    return await repository.save_rule(session, replace(draft, name=name, terms=terms))


async def activate_rule_set(
    session: AsyncSession, version: int, effective_at: datetime | None, *, actor: str
) -> RuleVersion:
    """Put a draft into force; raises `RuleNotFound`, `RuleIsActive` and `RuleInThePast`.

    Orders paid before it takes effect keep earning under the versions before it, whenever they are heard of.
    """
    await repository.lock_rules(session)
    draft = await show_earning_rule(session, version)
    if draft.effective_at is not None:
        raise RuleIsActive(version=version)
    return await _activate(session, draft, effective_at, actor=actor)


async def delete_earning_rule(session: AsyncSession, version: int) -> RuleVersion:
    """Forget a draft, or end a version now; raises `RuleNotFound` and `RuleRequired`.

    What an ended version granted stays, and refunds are still judged by it. Orders paid from now on earn by
    the version before it.
    """
    await repository.lock_rules(session)
    found = await show_earning_rule(session, version)
    if found.effective_at is None:
        await repository.delete_draft(session, version)
        return found
    if found.ended_at is not None:
        return found
    versions = await repository.rule_versions(session)
    if not any(
        other.effective_at is not None and other.effective_at < found.effective_at and other.ended_at is None
        for other in versions
    ):
        raise RuleRequired(version=version)
    now = await ledger_repository.database_now(session)
    # One that has not begun is over before it began, and its moment is free for another version.
    return await repository.save_rule(
        session, replace(found, effective_at=min(now, found.effective_at), ended_at=now)
    )


def check_rule_set(terms: Mapping[str, Any]) -> None:
    """Raise `InvalidRuleSet` with the place if a document cannot be judged by."""
    try:
        read_rule_set(terms)
    except RuleSetError as error:
        raise InvalidRuleSet(pointer=error.pointer, reason=error.message) from error


async def _new_draft(session: AsyncSession, actor: str) -> RuleVersion:
    await repository.lock_rules(session)
    versions = await repository.rule_versions(session)
    now = await ledger_repository.database_now(session)
    number = versions[-1].version + 1
    return RuleVersion(number, None, None, None, None, None, None, actor, now, None, None)


async def _activate(
    session: AsyncSession, draft: RuleVersion, effective_at: datetime | None, *, actor: str
) -> RuleVersion:
    now = await ledger_repository.database_now(session)
    versions = await repository.rule_versions(session)
    newest = max(version.effective_at for version in versions if version.effective_at is not None)
    effective_at = effective_at or now
    if effective_at < now or effective_at <= newest:
        raise RuleInThePast(newest_effective_at=newest.isoformat())
    active = replace(draft, effective_at=effective_at, activated_by=actor, activated_at=now)
    return await repository.save_rule(session, active)
