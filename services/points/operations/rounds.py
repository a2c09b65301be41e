"""Rounds and odds of lotteries: what is committed to before anybody draws."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Odds, Prize, Reward, Round
from services.points.domain.lottery import SEED_BYTES, commitment_of, round_span
from services.points.domain.rewards import LOTTERY, PRIZES
from services.points.errors import InvalidPrize, LotteryNotFound
from services.points.repository import ledger as ledger_repository
from services.points.repository import lottery as repository
from services.points.repository import rewards as reward_repository
from services.points.repository.lottery import OddsRow

# A round this near may have begun, and been drawn in, before new odds for it are committed; so it keeps the
# old ones. Longer than a transaction can last.
TOO_LATE = timedelta(minutes=1)
PREPARED_CHUNK = 100


def bad_prize(prizes: Sequence[Prize], rewards: Mapping[UUID, Reward]) -> InvalidPrize | None:
    """Return what is wrong with prizes that are rewards, given the rewards that exist."""
    for prize in prizes:
        if prize.reward_id is not None:
            reward = rewards.get(prize.reward_id)
            if reward is None or reward.kind not in PRIZES:
                return InvalidPrize(reward_id=str(prize.reward_id))
    return None


async def prepare_rounds(session: AsyncSession, lotteries: Sequence[Reward], now: datetime) -> None:
    """Commit to a round for now and to the one after it; the lotteries are locked or new."""
    ids = [lottery.id for lottery in lotteries]
    current = await repository.rounds_from(session, ids, now)
    last = await repository.last_rounds(session, ids)
    odds = await repository.odds_of(session, ids)
    rounds: list[Round] = []
    for lottery in lotteries:
        number, end = last.get(lottery.id, (0, None))
        missing = 2 - len(current.get(lottery.id, []))
        for _ in range(missing):
            number += 1
            starts_at, end = round_span(timedelta(hours=lottery.round_hours or 1), end, now)
            seed = secrets.token_bytes(SEED_BYTES)
            version = _version_at(odds[lottery.id], starts_at)
            rounds.append(Round(lottery.id, number, commitment_of(seed), seed, version, starts_at, end, now))
    await repository.add_rounds(session, rounds)


def _version_at(versions: Sequence[OddsRow], instant: datetime) -> int:
    """Return the newest version in force at `instant`; before the first one, the first."""
    in_force = [row.odds.version for row in versions if row.effective_at <= instant]
    return max(in_force, default=versions[0].odds.version)


async def prepare_due_rounds(session: AsyncSession) -> int:
    """Commit to the next round of lotteries that have none to come; return how many there were."""
    lotteries = await repository.lock_unprepared(session, PREPARED_CHUNK)
    if lotteries:
        await prepare_rounds(session, lotteries, await ledger_repository.database_now(session))
    return len(lotteries)


async def publish_odds(
    session: AsyncSession, lottery_id: UUID, prizes: Sequence[Prize], *, actor: str
) -> OddsRow:
    """Add a version of a lottery's odds, in force from the next round on; what is being drawn keeps its own.

    Raises `LotteryNotFound` and `InvalidPrize`.
    """
    lottery = await reward_repository.lock_reward(session, lottery_id)
    if lottery is None or lottery.kind != LOTTERY or lottery.retired_at is not None:
        raise LotteryNotFound(lottery_id=str(lottery_id))
    won = sorted({prize.reward_id for prize in prizes if prize.reward_id is not None})
    refusal = bad_prize(prizes, await reward_repository.rewards_by_id(session, won))
    if refusal is not None:
        raise refusal
    now = await ledger_repository.database_now(session)
    await prepare_rounds(session, [lottery], now)
    rounds = (await repository.rounds_from(session, [lottery_id], now))[lottery_id]
    early = [each.starts_at for each in rounds if each.starts_at >= now + TOO_LATE]
    effective_at = min(early, default=rounds[-1].ends_at)
    versions = (await repository.odds_of(session, [lottery_id]))[lottery_id]
    odds = Odds(versions[-1].odds.version + 1, prizes, effective_at)
    await repository.add_odds(session, [(lottery_id, odds)], created_by=actor)
    await repository.move_rounds(session, lottery_id, version=odds.version, effective_at=effective_at)
    return OddsRow(odds, effective_at, {prize.number: prize.stock for prize in prizes})
