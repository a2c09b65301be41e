"""The catalogue: rewards that points buy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Odds, Prize, Reward
from services.points.domain.rewards import LOTTERY
from services.points.errors import InvalidWindow, RewardNotFound
from services.points.operations.rounds import bad_prize, prepare_rounds
from services.points.repository import ledger as ledger_repository
from services.points.repository import lottery as lottery_repository
from services.points.repository import rewards as repository
from shared.problems import Refusal


async def add_rewards(
    session: AsyncSession,
    rewards: Sequence[Reward],
    *,
    actor: str,
    prizes: Mapping[UUID, Sequence[Prize]] | None = None,
) -> list[Reward | Refusal]:
    """Put rewards into the catalogue; `prizes` are the first odds of lotteries, by the reward's id."""
    odds = prizes or {}
    won = {prize.reward_id for lines in odds.values() for prize in lines if prize.reward_id is not None}
    known = await repository.rewards_by_id(session, sorted(won)) if won else {}
    results: list[Reward | Refusal] = []
    good: list[Reward] = []
    for reward in rewards:
        refusal = InvalidWindow() if _is_backwards(reward) else bad_prize(odds.get(reward.id, ()), known)
        if refusal is None:
            good.append(reward)
        results.append(refusal or reward)
    await repository.add_rewards(session, good, created_by=actor)
    lotteries = {reward.id: odds[reward.id] for reward in good if reward.kind == LOTTERY}
    if lotteries:
        now = await ledger_repository.database_now(session)
        first = [(lottery_id, Odds(1, lines, now)) for lottery_id, lines in lotteries.items()]
        await lottery_repository.add_odds(session, first, created_by=actor)
        await prepare_rounds(session, [reward for reward in good if reward.id in lotteries], now)
    return results


def _is_backwards(reward: Reward) -> bool:
    return reward.starts_at is not None and reward.ends_at is not None and reward.ends_at <= reward.starts_at


async def change_reward(session: AsyncSession, reward_id: UUID, changes: dict[str, Any]) -> Reward:
    """Change name, stock, limits, tiers or window of a reward.

    Raises `RewardNotFound` and `InvalidWindow`.
    """
    reward = await repository.lock_reward(session, reward_id)
    if reward is None:
        raise RewardNotFound(reward_id=str(reward_id))
    changed = replace(reward, **changes)
    if _is_backwards(changed):
        raise InvalidWindow
    await repository.save_reward(session, changed)
    return changed


async def retire_reward(session: AsyncSession, reward_id: UUID) -> Reward:
    """Take a reward out of the catalogue for good; what was redeemed stays. Raises `RewardNotFound`."""
    reward = await repository.lock_reward(session, reward_id)
    if reward is None:
        raise RewardNotFound(reward_id=str(reward_id))
    if reward.retired_at is None:
        reward.retired_at = await ledger_repository.database_now(session)
        await repository.save_reward(session, reward)
    return reward


async def show_reward(session: AsyncSession, reward_id: UUID) -> Reward:
    """Return one reward; raises `RewardNotFound`."""
    found = await repository.rewards_by_id(session, [reward_id])
    if reward_id not in found:
        raise RewardNotFound(reward_id=str(reward_id))
    return found[reward_id]


async def show_rewards(session: AsyncSession, *, after: UUID | None, limit: int) -> list[Reward]:
    """Return rewards in the order they were made."""
    return await repository.list_rewards(session, after=after, limit=limit)
