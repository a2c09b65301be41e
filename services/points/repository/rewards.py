"""Statements on the catalogue of rewards and on redemptions."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Reward

COLUMNS = (
    "id, name, kind, cost_points, reference, stock, per_member_limit, starts_at, ends_at, retired_at,"
    " cost_minor, cost_currency"
)


class RedemptionRow(NamedTuple):
    """A row of `redemptions`, in the order of ADD_REDEMPTIONS."""

    id: UUID
    member_id: UUID
    reward_id: UUID
    order_id: UUID | None
    points: int
    status: str
    actor: str
    redeemed_at: datetime


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
    SELECT reward.*, :created_by
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS text[]), CAST(:p2 AS text[]), CAST(:p3 AS bigint[]),
                CAST(:p4 AS text[]), CAST(:p5 AS bigint[]), CAST(:p6 AS int[]), CAST(:p7 AS timestamptz[]),
                CAST(:p8 AS timestamptz[]), CAST(:p9 AS timestamptz[]), CAST(:p10 AS bigint[]),
                CAST(:p11 AS text[])) AS reward
    """  # noqa: S608 - constant names
)

SAVE_REWARD = text(
    """
    UPDATE rewards SET name = :name, stock = :stock, per_member_limit = :per_member_limit,
           starts_at = :starts_at, ends_at = :ends_at, retired_at = :retired_at
    WHERE id = :id
    """
)

SAVE_STOCKS = text(
    """
    UPDATE rewards SET stock = rewards.stock - sold.units
    FROM unnest(CAST(:reward_ids AS uuid[]), CAST(:units AS bigint[])) AS sold(reward_id, units)
    WHERE rewards.id = sold.reward_id
    """
)

COUNT_REDEMPTIONS = text(
    """
    SELECT asked.member_id, asked.reward_id, count(redemptions.id) AS redemptions
    FROM unnest(CAST(:member_ids AS uuid[]), CAST(:reward_ids AS uuid[])) AS asked(member_id, reward_id)
         JOIN redemptions USING (member_id, reward_id)
    GROUP BY asked.member_id, asked.reward_id
    """
)

ADD_REDEMPTIONS = text(
    """
    INSERT INTO redemptions (id, member_id, reward_id, order_id, points, status, actor, redeemed_at)
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS uuid[]), CAST(:p3 AS uuid[]),
                         CAST(:p4 AS bigint[]), CAST(:p5 AS text[]), CAST(:p6 AS text[]),
                         CAST(:p7 AS timestamptz[]))
    """
)

REDEMPTIONS = text(
    """
    SELECT id, member_id, reward_id, order_id, points, status, actor, redeemed_at FROM redemptions
    WHERE member_id = :member_id AND (CAST(:before AS uuid) IS NULL OR id < CAST(:before AS uuid))
    ORDER BY id DESC LIMIT :limit
    """
)

REDEMPTION = text(
    """
    SELECT id, member_id, reward_id, order_id, points, status, actor, redeemed_at FROM redemptions
    WHERE id = :redemption_id
    """
)


async def lock_rewards(session: AsyncSession, reward_ids: Sequence[UUID]) -> dict[UUID, Reward]:
    """Return those of the rewards that exist; those with a limited stock are locked first.

    Two statements: the second sees what whoever held the lock before has committed.
    """
    await session.execute(LOCK_STOCKS, {"reward_ids": list(reward_ids)})
    rows = await session.execute(REWARDS_BY_ID, {"reward_ids": list(reward_ids)})
    return {row.id: Reward(*row) for row in rows}


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
        columns = zip(*(astuple(reward) for reward in rewards), strict=True)
        parameters = {f"p{number}": column for number, column in enumerate(columns)}
        await session.execute(ADD_REWARDS, parameters | {"created_by": created_by})


async def save_reward(session: AsyncSession, reward: Reward) -> None:
    """Write back a locked reward; kind, cost and reference never change, since redemptions rely on them."""
    await session.execute(
        SAVE_REWARD,
        {
            "id": reward.id,
            "name": reward.name,
            "stock": reward.stock,
            "per_member_limit": reward.per_member_limit,
            "starts_at": reward.starts_at,
            "ends_at": reward.ends_at,
            "retired_at": reward.retired_at,
        },
    )


async def save_stocks(session: AsyncSession, sold: Mapping[UUID, int]) -> None:
    """Count down the stock of locked rewards."""
    if sold:
        await session.execute(SAVE_STOCKS, {"reward_ids": list(sold), "units": list(sold.values())})


async def count_redemptions(
    session: AsyncSession, pairs: Sequence[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], int]:
    """Count how often each (member, reward) was redeemed; the members' accounts are locked."""
    if not pairs:
        return {}
    members, rewards = zip(*pairs, strict=True)
    rows = await session.execute(COUNT_REDEMPTIONS, {"member_ids": members, "reward_ids": rewards})
    return {(row.member_id, row.reward_id): row.redemptions for row in rows}


async def add_redemptions(session: AsyncSession, rows: Sequence[RedemptionRow]) -> None:
    """Record redemptions."""
    if rows:
        columns = zip(*rows, strict=True)
        await session.execute(
            ADD_REDEMPTIONS, {f"p{number}": column for number, column in enumerate(columns)}
        )


async def redemptions_of(
    session: AsyncSession, member_id: UUID, *, before: UUID | None, limit: int
) -> list[RedemptionRow]:
    """Return up to `limit` redemptions of a member, the newest first."""
    rows = await session.execute(REDEMPTIONS, {"member_id": member_id, "before": before, "limit": limit})
    return [RedemptionRow(*row) for row in rows]


async def redemption(session: AsyncSession, redemption_id: UUID) -> RedemptionRow | None:
    """Return one redemption."""
    row = (await session.execute(REDEMPTION, {"redemption_id": redemption_id})).one_or_none()
    return RedemptionRow(*row) if row is not None else None
