"""The counter that rewards are sold over: stock, limits, tiers and lots of one batch, command by command."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account, Lot, Reward
from services.points.domain.rewards import LOTTERY, period_start
from services.points.errors import (
    DailyLimitReached,
    InsufficientPoints,
    MemberLimitReached,
    PeriodLimitReached,
    RewardNotAvailable,
    RewardNotFound,
    RewardOutOfStock,
    TierRequired,
)
from services.points.operations.ledger import Ledger
from services.points.repository import redemptions as redemption_repository
from services.points.repository import reversals
from services.points.repository import rewards as repository
from services.points.repository import tiers as tier_repository
from services.points.repository.redemptions import Asked, Counted, RedemptionRow
from services.points.repository.tiers import HeldTier
from services.points.settings import settings
from shared.clock import zone
from shared.events import PointsRedeemed, RewardGranted
from shared.ids import new_id
from shared.problems import Refusal

UNCOUNTED = Counted(0, 0)


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


class Counter:
    """Rewards, lots, limits and tiers of one batch, as they stand after each command of it.

    Limits and tiers are a person's: what came under the ids of merged members counts together. A redemption
    keeps the id that it came under; events name the account that paid.
    """

    def __init__(
        self,
        ledger: Ledger,
        rewards: dict[UUID, Reward],
        lots: dict[UUID, list[Lot]],
        counts: dict[tuple[UUID, UUID], Counted],
        tiers: Mapping[UUID, HeldTier],
    ) -> None:
        self.ledger = ledger
        self.rewards = rewards
        self.lots = lots
        self.counts = counts
        self.tiers = tiers
        self.redemptions: list[RedemptionRow] = []
        self.sold: dict[UUID, int] = {}

    @classmethod
    async def open(cls, session: AsyncSession, ledger: Ledger, commands: Sequence[Redeem]) -> "Counter":
        """Load what the commands need; the members' accounts are locked.

        Accounts before rewards, each in the order of their ids: the one order in which everybody locks.
        Statements about limits and tiers are made only if some reward of the batch has any.
        """
        rewards = await repository.lock_rewards(session, sorted({command.reward_id for command in commands}))
        needs: dict[UUID, int] = {}
        limited: dict[tuple[UUID, UUID], Reward] = {}
        gated: set[UUID] = set()
        for command in commands:
            reward = rewards.get(command.reward_id)
            account = ledger.accounts.get(command.member_id)
            if reward is None or account is None:
                continue
            member_id = account.member_id
            needs[member_id] = min(needs.get(member_id, 0) + reward.cost_points, account.available_points)
            if reward.per_member_limit is not None or reward.period_limit is not None:
                limited[member_id, reward.id] = reward
            if reward.tiers is not None:
                gated.add(member_id)
        lots = await ledger.paying_lots(session, needs) if needs else {}
        counts = await redemption_repository.count_redemptions(session, _asked(limited, ledger.now))
        tiers = await tier_repository.tiers_of(session, sorted(gated)) if gated else {}
        return cls(ledger, rewards, lots, counts, tiers)

    def serve(self, command: Redeem) -> Redeemed | Refusal:
        """Carry out one command, or say why not and change nothing."""
        reward = self.rewards.get(command.reward_id)
        if reward is None:
            return RewardNotFound(reward_id=str(command.reward_id))
        account = self.ledger.accounts.get(command.member_id)
        refusal = self._refusal(reward, account)
        if refusal is not None:
            return refusal
        assert account is not None
        return self._sell(reward, account, command)

    def _refusal(self, reward: Reward, account: Account | None) -> Refusal | None:
        reward_id = str(reward.id)
        if not reward.is_available(self.ledger.now):
            return RewardNotAvailable(reward_id=reward_id)
        member_id = account.member_id if account is not None else None
        if reward.tiers is not None:
            held = self.tiers.get(member_id) if member_id is not None else None
            if not reward.is_for(held.tier if held is not None else None):
                return TierRequired(reward_id=reward_id, tiers=list(reward.tiers))
        if reward.stock == 0:
            return RewardOutOfStock(reward_id=reward_id)
        if member_id is not None:
            over = _limit_reached(reward, self.counts.get((member_id, reward.id), UNCOUNTED))
            if over is not None:
                return over
        available = account.available_points if account is not None else 0
        if available < reward.cost_points:
            return InsufficientPoints(
                f"The reward costs {reward.cost_points} points, {available} are available.",
                cost_points=reward.cost_points,
                available_points=available,
            )
        return None

    def _sell(self, reward: Reward, account: Account, command: Redeem) -> Redeemed:
        points, now, redemption_id = reward.cost_points, self.ledger.now, new_id()
        self._debit(reward, account, command, redemption_id)
        if reward.stock is not None:
            reward.stock -= 1
            self.sold[reward.id] = self.sold.get(reward.id, 0) + 1
        key = (account.member_id, reward.id)
        ever, in_period = self.counts.get(key, UNCOUNTED)
        self.counts[key] = Counted(ever + 1, in_period + 1)
        status = reward.first_status()
        self.redemptions.append(
            RedemptionRow(
                redemption_id,
                command.member_id,
                reward.id,
                command.order_id,
                points,
                status,
                command.actor,
                now,
                reward.first_step(),
            )
        )
        self.ledger.events.append(
            PointsRedeemed(
                member_id=account.member_id,
                redemption_id=redemption_id,
                reward_id=reward.id,
                reward_kind=reward.kind,
                points=points,
                order_id=command.order_id,
                redeemed_at=now,
                balance_points=account.balance_points,
            )
        )
        # What a draw comes to is said by the draw.
        if reward.kind != LOTTERY:
            self._announce(reward, account.member_id, redemption_id, order_id=command.order_id)
        return Redeemed(
            redemption_id,
            command.member_id,
            reward.id,
            command.order_id,
            points,
            account.balance_points,
            status,
            now,
        )

    def _debit(self, reward: Reward, account: Account, command: Redeem, redemption_id: UUID) -> None:
        points = reward.cost_points
        entry_id = self.ledger.enter(
            account,
            "redeem",
            -points,
            about_id=redemption_id,
            actor=command.actor,
            reason=f"Redeemed for {reward.name}",
            occurred_at=self.ledger.now,
            origin_id=command.member_id,
        )
        missing = self.ledger.debit(account, points, self.lots[account.member_id], entry_id=entry_id)
        assert missing == 0, "the lots of an account hold what its balance says"

    def give(self, reward: Reward, member_id: UUID, *, draw_id: UUID, actor: str) -> UUID:
        """Grant what a draw won; it costs no points and takes nothing of the reward's own stock."""
        account = self.ledger.accounts[member_id]
        redemption_id = new_id()
        self.redemptions.append(
            RedemptionRow(
                redemption_id,
                member_id,
                reward.id,
                None,
                0,
                reward.first_status(),
                actor,
                self.ledger.now,
                reward.first_step(),
                draw_id,
            )
        )
        self._announce(reward, account.member_id, redemption_id, draw_id=draw_id)
        return redemption_id

    def _announce(
        self,
        reward: Reward,
        member_id: UUID,
        redemption_id: UUID,
        *,
        order_id: UUID | None = None,
        draw_id: UUID | None = None,
    ) -> None:
        self.ledger.events.append(
            RewardGranted(
                member_id=member_id,
                redemption_id=redemption_id,
                reward_id=reward.id,
                reward_kind=reward.kind,
                reference=reward.reference,
                cost_minor=reward.cost_minor,
                currency=reward.cost_currency,
                order_id=order_id,
                draw_id=draw_id,
                granted_at=self.ledger.now,
            )
        )

    async def close(self, session: AsyncSession) -> None:
        """Write what was sold."""
        await self.ledger.save(session)
        await redemption_repository.add_redemptions(session, self.redemptions)
        await repository.save_stocks(session, self.sold)
        spends = [(row.order_id, row.id) for row in self.redemptions if row.order_id is not None]
        await reversals.add_spends(session, spends)


def _asked(limited: Mapping[tuple[UUID, UUID], Reward], now: datetime) -> list[Asked]:
    """Say what has to be counted for rewards with limits."""
    clock = zone(settings().zone) if limited else None
    asked = []
    for (member_id, reward_id), reward in sorted(limited.items(), key=lambda item: item[0]):
        since = period_start(reward.period, now, clock) if reward.period and clock else None
        asked.append(Asked(member_id, reward_id, since, reward.per_member_limit is not None))
    return asked


def _limit_reached(reward: Reward, counted: Counted) -> Refusal | None:
    """Return the refusal of a member who has redeemed the reward so often, if it is one."""
    reward_id = str(reward.id)
    if reward.per_member_limit is not None and counted.ever >= reward.per_member_limit:
        return MemberLimitReached(reward_id=reward_id, limit=reward.per_member_limit)
    if reward.period_limit is not None and counted.in_period >= reward.period_limit:
        refusal = DailyLimitReached if reward.period == "day" else PeriodLimitReached
        return refusal(reward_id=reward_id, limit=reward.period_limit)
    return None
