"""The rules of the lifecycle and their change, and the passing of time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import LifecycleRules, Member
from services.members.operations.changes import Changes
from services.members.repository import program
from services.members.repository import stages as repository
from services.members.settings import settings

__all__ = ["judge_stages", "read_lifecycle", "replace_lifecycle", "sweep_stages"]


async def read_lifecycle(session: AsyncSession) -> LifecycleRules:
    """Return the rules that stages are judged by now."""
    return (await program.rules(session, settings().program_time_zone)).lifecycle


async def replace_lifecycle(session: AsyncSession, rules: LifecycleRules, *, actor: str) -> LifecycleRules:
    """Make new rules; `sweep_stages` carries them to the members there are, their next order before that."""
    await program.lock_tiers(session)
    present = await read_lifecycle(session)
    rules = replace(rules, version=present.version + 1)
    await program.insert_lifecycle(session, rules, actor=actor)
    return rules


async def judge_stages(session: AsyncSession, *, limit: int, as_of: datetime | None = None) -> int:
    """Judge up to `limit` members whose stage may have changed by now; return how many were judged.

    `as_of` is another instant than now, for tests.
    """
    ids = await repository.due_members(session, as_of=as_of, limit=limit)
    if ids:
        await _judge(session, ids, as_of, None)
    return len(ids)


async def sweep_stages(session: AsyncSession, *, limit: int) -> int:
    """Judge the next members by rules that have not reached them yet; return how many were judged."""
    sweep = await repository.take_sweep(session, limit=limit)
    if sweep is None:
        return 0
    version, ids = sweep
    if ids:
        await _judge(session, ids, None, "rules")
    await repository.swept(session, version, swept_to=ids[-1] if ids else None, is_swept=len(ids) < limit)
    return len(ids)


async def _judge(
    session: AsyncSession, ids: Sequence[UUID], as_of: datetime | None, reason: str | None
) -> None:
    """Judge members as of now; anew from their orders for a reason, or else those whose orders changed."""
    changes = await Changes.begin(session, as_of=as_of)
    await changes.lock(ids)
    members = {changes.person(member_id).id: changes.person(member_id) for member_id in ids}.values()
    anew: list[Member] = []
    same: list[Member] = []
    for member in members:
        (anew if reason is not None or member.stage_is_stale or member.merged else same).append(member)
    await changes.rhythms.judge(anew, reason or "history")
    changes.rhythms.carry_on(same)
    await changes.save()
