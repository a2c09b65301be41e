"""The tier table and its change, and the passing of time."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import Ladder, Level, Member, Policy, judge
from services.members.operations.changes import Changes
from services.members.operations.standings import facts_of
from services.members.repository import program, standing
from services.members.settings import settings

__all__ = [
    "TableChange",
    "WouldMove",
    "count_members_to_judge",
    "look_at_tiers",
    "preview_tiers",
    "rejudge_members",
    "replace_tiers",
]

# Members judged at a time by a preview: their rows and the days of their orders are held in memory.
PREVIEW_CHUNK = 2_000

# Members that a new tier table has not reached are counted every few seconds; more than these say no more.
WAITING_COUNTED = 100_000
# How many members one page of a preview looks at, at most, before it says where to go on.
PREVIEW_SCAN = 20_000


@dataclass(frozen=True, slots=True)
class WouldMove:
    """What a tier table would do to a member as of now."""

    member_id: UUID
    from_tier: str | None
    to_tier: str | None
    is_up: bool


@dataclass(slots=True)
class TableChange:
    """A new tier table, and how many members it moves: by (from, to), up and down."""

    ladder: Ladder
    moves: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    up: int = 0
    down: int = 0


async def replace_tiers(
    session: AsyncSession, levels: Sequence[Level], policy: Policy | None = None, *, actor: str
) -> TableChange:
    """Make a new tier table, and say whom it moves.

    Without a policy the present one stays. Members are moved by `rejudge_members`, or by their next order if
    that comes first; the figures come from the same judgement.
    """
    await program.lock_tiers(session)
    rules = await program.rules(session, settings().program_time_zone)
    ladder = rules.ladder.following(levels, policy)
    change = TableChange(ladder)
    async for chunk, _ in _preview(session, ladder, rules.now, None):
        change.moves.update((each.from_tier, each.to_tier) for each in chunk)
        change.up += sum(each.is_up for each in chunk)
        change.down += sum(not each.is_up for each in chunk)
    await program.insert_tiers(session, ladder, actor=actor)
    return change


async def preview_tiers(
    session: AsyncSession, levels: Sequence[Level], policy: Policy | None, *, after: UUID | None, limit: int
) -> tuple[list[WouldMove], UUID | None]:
    """Return members whom a tier table would move, and after whom to look on; None at the end.

    A page looks at a bounded number of members, so it may hold fewer than `limit` and not be the last.
    """
    rules = await program.rules(session, settings().program_time_zone)
    ladder = rules.ladder.following(levels, policy)
    found: list[WouldMove] = []
    scanned = 0
    async for chunk, last in _preview(session, ladder, rules.now, after):
        found += chunk
        if len(found) > limit:
            return found[:limit], found[limit - 1].member_id
        scanned += PREVIEW_CHUNK
        if scanned >= PREVIEW_SCAN:
            return found, last
    return found, None


async def _preview(
    session: AsyncSession, ladder: Ladder, now: datetime, after: UUID | None
) -> AsyncIterator[tuple[list[WouldMove], UUID]]:
    """Judge all persons by a table that does not hold yet, a chunk at a time; nothing is changed."""
    while members := await program.persons_page(session, after=after, limit=PREVIEW_CHUNK):
        after = members[-1].id
        await _read_terms(session, members)
        facts = await facts_of(session, members, ladder, now)
        moved = []
        for member in members:
            moves = judge(member, ladder, facts[member.id], now=now, at=now, reason="tier_table")
            ranked = [move for move in moves if move.kind in ("upgraded", "downgraded")]
            if ranked:
                is_up = ranked[-1].kind == "upgraded"
                moved.append(WouldMove(member.id, ranked[0].from_tier, member.tier, is_up))
        yield moved, after
        if len(members) < PREVIEW_CHUNK:
            return


async def _read_terms(session: AsyncSession, members: Sequence[Member]) -> None:
    held = await standing.terms(session, [member.id for member in members if member.has_tier_terms])
    for member in members:
        member.terms = held.get(member.id, member.terms)


async def rejudge_members(session: AsyncSession, *, limit: int) -> int:
    """Judge up to `limit` members by the tier table that holds now; return how many were judged."""
    ids = await program.members_to_judge(session, limit=limit)
    if not ids:
        return 0
    await _judge(await Changes.begin(session), ids, "tier_table")
    return len(ids)


async def count_members_to_judge(session: AsyncSession) -> int:
    """Return how many members a new tier table has not reached yet; 100,000 stand for any more."""
    return await program.count_members_to_judge(session, limit=WAITING_COUNTED)


async def look_at_tiers(session: AsyncSession, *, limit: int, as_of: datetime | None = None) -> int:
    """Judge up to `limit` members whose period, grace or lock is over; return how many were judged.

    `as_of` is another instant than now, for tests.
    """
    ids = await standing.due_members(session, as_of=as_of, limit=limit)
    if not ids:
        return 0
    changes = await Changes.begin(session, as_of=as_of)
    await _judge(changes, ids, "period_end")
    looks = [changes.person(member_id).terms.look_at for member_id in ids]
    return sum(look_at is None or look_at > changes.now for look_at in looks)


async def _judge(changes: Changes, member_ids: Collection[UUID], reason: str) -> None:
    """Judge the tiers of the persons behind these members as of now."""
    await changes.lock(member_ids)
    for member_id in member_ids:
        changes.judge(changes.person(member_id), changes.now, reason)
    await changes.save()
