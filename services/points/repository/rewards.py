"""Statements on the catalogue of rewards."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Reward
from shared.writing import Write, write

COLUMNS = (
    "id, name, kind, cost_points, reference, stock, per_member_limit, starts_at, ends_at, retired_at,"
    " cost_minor, cost_currency, period, period_limit, tiers, cancel_hours, max_shipping_minor,"
    " max_shipping_currency, round_hours"
)

# Only a limited stock has to be counted down one batch at a time; other rewards are read as they are, so that
# the batches of several processes do not queue up behind them.
LOCK_STOCKS = text(
    """
    SELECT id FROM rewards
    WHERE id = ANY(CAST(:reward_ids AS uuid[])) AND stock IS NOT NULL
    ORDER BY id
    FOR NO KEY UPDATE
    """
)

REWARDS_BY_ID = text(
    f"SELECT {COLUMNS} FROM rewards WHERE id = ANY(CAST(:reward_ids AS uuid[]))"  # noqa: S608 - constant names
)

LOCK_REWARD = text(f"SELECT {COLUMNS} FROM rewards WHERE id = :reward_id FOR NO KEY UPDATE")  # noqa: S608

LIST_REWARDS = text(
    f"""
    SELECT {COLUMNS} FROM rewards
    WHERE (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
    ORDER BY id LIMIT :limit
    """  # noqa: S608 - constant names
)

ADD_REWARDS = text(
    f"""
    INSERT INTO rewards ({COLUMNS}, created_by)
    SELECT {COLUMNS}, :created_by
    FROM jsonb_to_recordset(CAST(:rewards AS jsonb)) AS reward(
        id uuid, name text, kind text, cost_points bigint, reference text, stock bigint,
        per_member_limit int, starts_at timestamptz, ends_at timestamptz, retired_at timestamptz,
        cost_minor bigint, cost_currency text, period text, period_limit int, tiers text[],
        cancel_hours int, max_shipping_minor bigint, max_shipping_currency text, round_hours int)
    """  # noqa: S608 - constant names
)

SAVE_REWARD = text(
    """
    UPDATE rewards SET name = :name, stock = :stock, per_member_limit = :per_member_limit,
           period = :period, period_limit = :period_limit, tiers = CAST(:tiers AS text[]),
           starts_at = :starts_at, ends_at = :ends_at, retired_at = :retired_at
    WHERE id = :id
    """
)
CHANGEABLE = (
    "id",
    "name",
    "stock",
    "per_member_limit",
    "period",
    "period_limit",
    "tiers",
    "starts_at",
    "ends_at",
    "retired_at",
)

SAVE_STOCKS = Write(
    """
    UPDATE rewards SET stock = rewards.stock - sold.units
    FROM unnest(CAST(:reward_ids AS uuid[]), CAST(:units AS bigint[])) AS sold(reward_id, units)
    WHERE rewards.id = sold.reward_id AND rewards.stock IS NOT NULL
    """
)


async def lock_rewards(session: AsyncSession, reward_ids: Sequence[UUID]) -> dict[UUID, Reward]:
    """Return those of the rewards that exist; those with a limited stock are locked.

    Read again after they are locked: only a later statement sees what whoever held the lock has committed.
    """
    rewards = await rewards_by_id(session, reward_ids)
    if not any(reward.stock is not None for reward in rewards.values()):
        return rewards
    await session.execute(LOCK_STOCKS, {"reward_ids": list(reward_ids)})
    return await rewards_by_id(session, reward_ids)


async def lock_reward(session: AsyncSession, reward_id: UUID) -> Reward | None:
    """Lock one reward for a change of it."""
    row = (await session.execute(LOCK_REWARD, {"reward_id": reward_id})).one_or_none()
    return Reward(*row) if row is not None else None


async def rewards_by_id(session: AsyncSession, reward_ids: Sequence[UUID]) -> dict[UUID, Reward]:
    """Return those of the rewards that exist."""
    rows = await session.execute(REWARDS_BY_ID, {"reward_ids": list(reward_ids)})
    return {row.id: Reward(*row) for row in rows}


async def list_rewards(session: AsyncSession, *, after: UUID | None, limit: int) -> list[Reward]:
    """Return up to `limit` rewards in the order they were made, beginning after one of them."""
    return [Reward(*row) for row in await session.execute(LIST_REWARDS, {"after": after, "limit": limit})]


async def add_rewards(session: AsyncSession, rewards: Sequence[Reward], *, created_by: str) -> None:
    """Put rewards into the catalogue."""
    if rewards:
        encoded = msgspec.json.encode([asdict(reward) for reward in rewards]).decode()
        await session.execute(ADD_REWARDS, {"rewards": encoded, "created_by": created_by})


async def save_reward(session: AsyncSession, reward: Reward) -> None:
    """Write back a locked reward; kind, cost and terms never change, since redemptions rely on them."""
    await session.execute(SAVE_REWARD, {name: getattr(reward, name) for name in CHANGEABLE})


async def save_stocks(session: AsyncSession, sold: Mapping[UUID, int]) -> None:
    """Count down the stock of rewards that have one; negative units put some back."""
    if sold:
        ordered = sorted(sold)
        units = [sold[reward_id] for reward_id in ordered]
        await write(session, SAVE_STOCKS, {"reward_ids": ordered, "units": units})
