"""Statements on lotteries: odds, rounds, prize stock and draws."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Draw, Odds, Prize, Reward, Round
from services.points.repository.rewards import COLUMNS as REWARD_COLUMNS
from shared.writing import columns


class PrizeKey(NamedTuple):
    """Which line of which odds; prizes are locked in this order."""

    lottery_id: UUID
    version: int
    number: int


class DrawRow(NamedTuple):
    """A draw with what is kept beside its record."""

    draw: Draw
    receipt: str
    prize_redemption_id: UUID | None


@dataclass(frozen=True, slots=True)
class OddsRow:
    """A version of the odds with what is left of each prize, by its number."""

    odds: Odds
    effective_at: datetime
    left_units: Mapping[int, int | None]


ADD_ODDS = text(
    """
    INSERT INTO lottery_odds (lottery_id, version, digest, effective_at, created_by)
    SELECT *, :created_by
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS int[]), CAST(:p2 AS text[]), CAST(:p3 AS timestamptz[]))
    """
)

ADD_PRIZES = text(
    """
    INSERT INTO lottery_prizes (lottery_id, version, number, name, kind, weight, stock, points,
                                lifetime_days, reward_id, left_units)
    SELECT lottery_id, version, number, name, kind, weight, stock, points, lifetime_days, reward_id, stock
    FROM jsonb_to_recordset(CAST(:prizes AS jsonb)) AS prize(
        lottery_id uuid, version int, number int, name text, kind text, weight bigint, stock bigint,
        points bigint, lifetime_days int, reward_id uuid)
    """
)

ODDS = text(
    """
    SELECT odds.lottery_id, odds.version, odds.effective_at, prize.number, prize.name, prize.kind,
           prize.weight, prize.stock, prize.points, prize.lifetime_days, prize.reward_id, prize.left_units
    FROM lottery_odds AS odds JOIN lottery_prizes AS prize USING (lottery_id, version)
    WHERE lottery_id = ANY(CAST(:lottery_ids AS uuid[]))
    ORDER BY lottery_id, version, number
    """
)

ROUND_COLUMNS = "lottery_id, number, commitment, seed, odds_version, starts_at, ends_at, committed_at"

ROUNDS_FROM = text(
    f"""
    SELECT {ROUND_COLUMNS} FROM lottery_rounds
    WHERE lottery_id = ANY(CAST(:lottery_ids AS uuid[])) AND ends_at > :now
    ORDER BY lottery_id, number
    """  # noqa: S608 - constant names
)

LIST_ROUNDS = text(
    f"""
    SELECT {ROUND_COLUMNS}, ends_at <= clock_timestamp() AS is_over FROM lottery_rounds
    WHERE lottery_id = :lottery_id AND (CAST(:before AS int) IS NULL OR number < :before)
    ORDER BY number DESC LIMIT :limit
    """  # noqa: S608 - constant names
)

LAST_ROUNDS = text(
    """
    SELECT DISTINCT ON (lottery_id) lottery_id, number, ends_at FROM lottery_rounds
    WHERE lottery_id = ANY(CAST(:lottery_ids AS uuid[]))
    ORDER BY lottery_id, number DESC
    """
)

ADD_ROUNDS = text(
    f"""
    INSERT INTO lottery_rounds ({ROUND_COLUMNS})
    SELECT * FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS int[]), CAST(:p2 AS text[]), CAST(:p3 AS bytea[]),
                         CAST(:p4 AS int[]), CAST(:p5 AS timestamptz[]), CAST(:p6 AS timestamptz[]),
                         CAST(:p7 AS timestamptz[]))
    """  # noqa: S608 - constant names
)

# Nothing has been drawn in rounds that have not begun.
MOVE_ROUNDS = text(
    """
    UPDATE lottery_rounds SET odds_version = :version
    WHERE lottery_id = :lottery_id AND starts_at >= :effective_at
    """
)

# Lotteries that are drawn from now or soon and whose next round nobody has committed to yet.
LOCK_UNPREPARED = text(
    f"""
    SELECT {REWARD_COLUMNS} FROM rewards
    WHERE kind = 'lottery' AND retired_at IS NULL
          AND (ends_at IS NULL OR ends_at > clock_timestamp())
          AND NOT EXISTS (SELECT FROM lottery_rounds
                          WHERE lottery_id = rewards.id AND starts_at > clock_timestamp())
    ORDER BY id LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
    """  # noqa: S608 - constant names
)

LAST_DRAWS = text(
    """
    SELECT asked.lottery_id, asked.round_number, asked.member_id, max(draws.draw_number) AS number
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS int[]), CAST(:p2 AS uuid[]))
         AS asked(lottery_id, round_number, member_id)
         JOIN draws USING (lottery_id, round_number, member_id)
    GROUP BY 1, 2, 3
    """
)

LOCK_PRIZES = text(
    """
    SELECT prize.lottery_id, prize.version, prize.number, prize.left_units
    FROM lottery_prizes AS prize
         JOIN unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS int[]), CAST(:p2 AS int[]))
              AS hit(lottery_id, version, number) USING (lottery_id, version, number)
    WHERE prize.stock IS NOT NULL
    ORDER BY prize.lottery_id, prize.version, prize.number
    FOR NO KEY UPDATE OF prize
    """
)

SAVE_PRIZES = text(
    """
    UPDATE lottery_prizes AS prize SET left_units = new.left_units
    FROM unnest(CAST(:p0 AS uuid[]), CAST(:p1 AS int[]), CAST(:p2 AS int[]), CAST(:p3 AS bigint[]))
         AS new(lottery_id, version, number, left_units)
    WHERE prize.lottery_id = new.lottery_id AND prize.version = new.version AND prize.number = new.number
    """
)

DRAW_COLUMNS = (
    "id, lottery_id, round_number, commitment, odds_version, odds_digest, member_id, client_nonce,"
    " draw_number, ticket, prize_number, stock_before, outcome, cost_points, drawn_at"
)

ADD_DRAWS = text(
    f"""
    INSERT INTO draws ({DRAW_COLUMNS}, receipt, prize_redemption_id)
    SELECT * FROM unnest(
        CAST(:p0 AS uuid[]), CAST(:p1 AS uuid[]), CAST(:p2 AS int[]), CAST(:p3 AS text[]), CAST(:p4 AS int[]),
        CAST(:p5 AS text[]), CAST(:p6 AS uuid[]), CAST(:p7 AS text[]), CAST(:p8 AS int[]),
        CAST(:p9 AS bigint[]), CAST(:p10 AS int[]), CAST(:p11 AS bigint[]), CAST(:p12 AS text[]),
        CAST(:p13 AS bigint[]), CAST(:p14 AS timestamptz[]), CAST(:p15 AS text[]), CAST(:p16 AS uuid[]))
    """  # noqa: S608 - constant names
)

DRAW = text(
    f"SELECT {DRAW_COLUMNS}, receipt, prize_redemption_id FROM draws WHERE id = :draw_id"  # noqa: S608 - constant names
)

LIST_DRAWS = text(
    f"""
    SELECT {DRAW_COLUMNS}, receipt, prize_redemption_id FROM draws
    WHERE lottery_id = :lottery_id AND round_number = :round_number
          AND (CAST(:after AS uuid) IS NULL OR id > CAST(:after AS uuid))
    ORDER BY id LIMIT :limit
    """  # noqa: S608 - constant names
)

ROUND = text(
    f"""
    SELECT {ROUND_COLUMNS}, ends_at <= clock_timestamp() AS is_over FROM lottery_rounds
    WHERE lottery_id = :lottery_id AND number = :number
    """  # noqa: S608 - constant names
)


async def add_odds(session: AsyncSession, odds: Sequence[tuple[UUID, Odds]], *, created_by: str) -> None:
    """Add versions of the odds of lotteries, with all of each prize left."""
    if not odds:
        return
    versions = [(lottery_id, each.version, each.digest(), each.effective_at) for lottery_id, each in odds]
    await session.execute(ADD_ODDS, columns(versions) | {"created_by": created_by})
    prizes = [
        asdict(prize) | {"lottery_id": lottery_id, "version": each.version}
        for lottery_id, each in odds
        for prize in each.prizes
    ]
    await session.execute(ADD_PRIZES, {"prizes": msgspec.json.encode(prizes).decode()})


async def odds_of(session: AsyncSession, lottery_ids: Iterable[UUID]) -> dict[UUID, list[OddsRow]]:
    """Return all versions of the odds of lotteries, the oldest first."""
    prizes: dict[tuple[UUID, int], list[Prize]] = {}
    left: dict[tuple[UUID, int], dict[int, int | None]] = {}
    since: dict[tuple[UUID, int], datetime] = {}
    for row in await session.execute(ODDS, {"lottery_ids": list(lottery_ids)}):
        key = (row.lottery_id, row.version)
        prizes.setdefault(key, []).append(
            Prize(
                row.number,
                row.name,
                row.kind,
                row.weight,
                row.stock,
                row.points,
                row.lifetime_days,
                row.reward_id,
            )
        )
        left.setdefault(key, {})[row.number] = row.left_units
        since[key] = row.effective_at
    versions: dict[UUID, list[OddsRow]] = {}
    for (lottery_id, version), lines in prizes.items():
        effective_at = since[lottery_id, version]
        odds = Odds(version, lines, effective_at)
        versions.setdefault(lottery_id, []).append(OddsRow(odds, effective_at, left[lottery_id, version]))
    return versions


async def rounds_from(
    session: AsyncSession, lottery_ids: Iterable[UUID], now: datetime
) -> dict[UUID, list[Round]]:
    """Return the rounds of lotteries that are not over, the earliest first."""
    rounds: dict[UUID, list[Round]] = {}
    for row in await session.execute(ROUNDS_FROM, {"lottery_ids": list(lottery_ids), "now": now}):
        rounds.setdefault(row.lottery_id, []).append(Round(*row))
    return rounds


async def list_rounds(
    session: AsyncSession, lottery_id: UUID, *, before: int | None, limit: int
) -> list[tuple[Round, bool]]:
    """Return up to `limit` rounds, the newest first, and whether each is over by the database's clock."""
    rows = await session.execute(LIST_ROUNDS, {"lottery_id": lottery_id, "before": before, "limit": limit})
    return [(Round(*row[:-1]), row.is_over) for row in rows]


async def round_of(session: AsyncSession, lottery_id: UUID, number: int) -> tuple[Round, bool]:
    """Return a round, and whether it is over by the database's clock."""
    row = (await session.execute(ROUND, {"lottery_id": lottery_id, "number": number})).one()
    return Round(*row[:-1]), row.is_over


async def last_rounds(session: AsyncSession, lottery_ids: Iterable[UUID]) -> dict[UUID, tuple[int, datetime]]:
    """Return number and end of the last round of each lottery that has one."""
    rows = await session.execute(LAST_ROUNDS, {"lottery_ids": list(lottery_ids)})
    return {row.lottery_id: (row.number, row.ends_at) for row in rows}


async def add_rounds(session: AsyncSession, rounds: Sequence[Round]) -> None:
    """Commit to rounds; their lotteries are locked or new."""
    if rounds:
        rows = [
            (
                each.lottery_id,
                each.number,
                each.commitment,
                each.seed,
                each.odds_version,
                each.starts_at,
                each.ends_at,
                each.committed_at,
            )
            for each in rounds
        ]
        await session.execute(ADD_ROUNDS, columns(rows))


async def move_rounds(
    session: AsyncSession, lottery_id: UUID, *, version: int, effective_at: datetime
) -> None:
    """Have rounds that begin from then on drawn under another version of the odds."""
    values = {"lottery_id": lottery_id, "version": version, "effective_at": effective_at}
    await session.execute(MOVE_ROUNDS, values)


async def lock_unprepared(session: AsyncSession, limit: int) -> list[Reward]:
    """Lock up to `limit` running lotteries without a round to come, passing over those locked already."""
    return [Reward(*row) for row in await session.execute(LOCK_UNPREPARED, {"limit": limit})]


async def last_draws(
    session: AsyncSession, asked: Sequence[tuple[UUID, int, UUID]]
) -> dict[tuple[UUID, int, UUID], int]:
    """Return the last draw number of each (lottery, round, member) that has drawn; accounts are locked."""
    if not asked:
        return {}
    rows = await session.execute(LAST_DRAWS, columns(asked))
    return {(row.lottery_id, row.round_number, row.member_id): row.number for row in rows}


async def lock_prizes(session: AsyncSession, keys: Iterable[PrizeKey]) -> dict[PrizeKey, int]:
    """Lock those of the prizes that have a stock and return what is left of each."""
    ordered = sorted(set(keys))
    if not ordered:
        return {}
    rows = await session.execute(LOCK_PRIZES, columns(ordered))
    return {PrizeKey(row.lottery_id, row.version, row.number): row.left_units for row in rows}


async def save_prizes(session: AsyncSession, left: Mapping[PrizeKey, int]) -> None:
    """Write back what is left of locked prizes."""
    if left:
        await session.execute(SAVE_PRIZES, columns([(*key, units) for key, units in left.items()]))


async def add_draws(session: AsyncSession, rows: Sequence[DrawRow]) -> None:
    """Record draws."""
    if rows:
        names = [name.strip() for name in DRAW_COLUMNS.split(",")]
        drawn = [
            (*(getattr(row.draw, name) for name in names), row.receipt, row.prize_redemption_id)
            for row in rows
        ]
        await session.execute(ADD_DRAWS, columns(drawn))


async def draw(session: AsyncSession, draw_id: UUID) -> DrawRow | None:
    """Return a draw, if there is one."""
    row = (await session.execute(DRAW, {"draw_id": draw_id})).one_or_none()
    return DrawRow(Draw(*row[:-2]), row.receipt, row.prize_redemption_id) if row is not None else None


async def list_draws(
    session: AsyncSession, lottery_id: UUID, round_number: int, *, after: UUID | None, limit: int
) -> list[DrawRow]:
    """Return up to `limit` draws of a round, in the order they were made."""
    values = {"lottery_id": lottery_id, "round_number": round_number, "after": after, "limit": limit}
    rows = await session.execute(LIST_DRAWS, values)
    return [DrawRow(Draw(*row[:-2]), row.receipt, row.prize_redemption_id) for row in rows]
