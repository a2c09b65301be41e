"""Redeem: points buy a reward."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account, Lot, Reward
from services.points.errors import (
    InsufficientPoints,
    MemberLimitReached,
    RewardNotAvailable,
    RewardNotFound,
    RewardOutOfStock,
)
from services.points.operations.ledger import Ledger
from services.points.repository import reversals
from services.points.repository import rewards as repository
from services.points.repository.rewards import RedemptionRow
from shared.events import PointsRedeemed, RewardGranted
from shared.ids import new_id
from shared.outbox import emit
from shared.problems import Refusal

STATUS = "granted"


class Redeem(NamedTuple):
    """Spend a member's points on a reward."""

    member_id: UUID
    reward_id: UUID
    order_id: UUID | None
    actor: str


class Redeemed(NamedTuple):
    """A redemption that went through."""

    redemption_id: UUID
    member_id: UUID
    reward_id: UUID
    order_id: UUID | None
    points: int
    available_points: int
    status: str
    redeemed_at: datetime


async def redeem(session: AsyncSession, commands: Sequence[Redeem]) -> list[Redeemed | Refusal]:
    """Redeem in the order given: who comes first gets the last points, and the last of the stock."""
    ledger = await Ledger.open(session, {command.member_id for command in commands}, create=False)
    desk = await _Counter.open(session, ledger, commands)
    results = [desk.serve(command) for command in commands]
    await ledger.save(session)
    await repository.add_redemptions(session, desk.redemptions)
    await repository.save_stocks(session, desk.sold)
    spends = [(row.order_id, row.id) for row in desk.redemptions if row.order_id is not None]
    await reversals.add_spends(session, spends)
    await emit(session, ledger.events)
    return results


class _Counter:
    """Rewards, lots and limits of one batch, as they stand after each command of it."""

    def __init__(
        self,
        ledger: Ledger,
        rewards: dict[UUID, Reward],
        lots: dict[UUID, list[Lot]],
        counts: dict[tuple[UUID, UUID], int],
    ) -> None:
        self.ledger = ledger
        self.rewards = rewards
        self.lots = lots
        self.counts = counts
        self.redemptions: list[RedemptionRow] = []
        self.sold: dict[UUID, int] = {}

    @classmethod
    async def open(cls, session: AsyncSession, ledger: Ledger, commands: Sequence[Redeem]) -> "_Counter":
        # Accounts before rewards, each in the order of their ids: the one order in which everybody locks.
        rewards = await repository.lock_rewards(session, sorted({command.reward_id for command in commands}))
        needs: dict[UUID, int] = {}
        limited: set[tuple[UUID, UUID]] = set()
        for command in commands:
            reward = rewards.get(command.reward_id)
            account = ledger.accounts.get(command.member_id)
            if reward is None or account is None:
                continue
            needs[command.member_id] = min(
                needs.get(command.member_id, 0) + reward.cost_points, max(account.balance_points, 0)
            )
            if reward.per_member_limit is not None:
                limited.add((command.member_id, command.reward_id))
        lots = await ledger.paying_lots(session, needs) if needs else {}
        return cls(ledger, rewards, lots, await repository.count_redemptions(session, sorted(limited)))

    def serve(self, command: Redeem) -> Redeemed | Refusal:
        """Carry out one command, or say why not and change nothing."""
        reward = self.rewards.get(command.reward_id)
        if reward is None:
            return RewardNotFound(reward_id=str(command.reward_id))
        account = self.ledger.accounts.get(command.member_id)
        refusal = self._refusal(reward, account, command)
        if refusal is not None:
            return refusal
        assert account is not None
        return self._sell(reward, account, command)

    def _refusal(self, reward: Reward, account: Account | None, command: Redeem) -> Refusal | None:
        if not reward.is_available(self.ledger.now):
            return RewardNotAvailable(reward_id=str(reward.id))
        if reward.stock == 0:
            return RewardOutOfStock(reward_id=str(reward.id))
        redeemed = self.counts.get((command.member_id, reward.id), 0)
        if reward.per_member_limit is not None and redeemed >= reward.per_member_limit:
            return MemberLimitReached(reward_id=str(reward.id), limit=reward.per_member_limit)
        available = max(account.balance_points, 0) if account is not None else 0
        if available < reward.cost_points:
            return InsufficientPoints(
                f"The reward costs {reward.cost_points} points, {available} are available.",
                cost_points=reward.cost_points,
                available_points=available,
            )
        return None

    def _sell(self, reward: Reward, account: Account, command: Redeem) -> Redeemed:
        points, now, redemption_id = reward.cost_points, self.ledger.now, new_id()
        entry_id = self.ledger.enter(
            account,
            "redeem",
            -points,
            about_id=redemption_id,
            actor=command.actor,
            reason=f"Redeemed for {reward.name}",
            occurred_at=now,
            origin_id=command.member_id,
        )
        missing = self.ledger.debit(account, points, self.lots[command.member_id], entry_id=entry_id)
        assert missing == 0, "the lots of an account hold what its balance says"
        if reward.stock is not None:
            reward.stock -= 1
            self.sold[reward.id] = self.sold.get(reward.id, 0) + 1
        key = (account.member_id, reward.id)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.redemptions.append(
            RedemptionRow(
                redemption_id,
                account.member_id,
                reward.id,
                command.order_id,
                points,
                STATUS,
                command.actor,
                now,
            )
        )
        self._announce(reward, account, command, redemption_id)
        return Redeemed(
            redemption_id,
            account.member_id,
            reward.id,
            command.order_id,
            points,
            account.balance_points,
            STATUS,
            now,
        )

    def _announce(self, reward: Reward, account: Account, command: Redeem, redemption_id: UUID) -> None:
        self.ledger.events += [
            PointsRedeemed(
                member_id=account.member_id,
                redemption_id=redemption_id,
                reward_id=reward.id,
                reward_kind=reward.kind,
                points=reward.cost_points,
                order_id=command.order_id,
                redeemed_at=self.ledger.now,
                balance_points=account.balance_points,
            ),
            RewardGranted(
                member_id=account.member_id,
                redemption_id=redemption_id,
                reward_id=reward.id,
                reward_kind=reward.kind,
                reference=reward.reference,
                cost_minor=reward.cost_minor,
                currency=reward.cost_currency,
                granted_at=self.ledger.now,
            ),
        ]
