"""Expiry: lots past their date, from due to committed entries, moves, balances and outbox rows."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from sqlalchemy import text

from bench.crowd import fill_points, member_id
from bench.figure import Figure, figure
from bench.ground import postgres_server, service_database
from services.points.jobs import expire_points
from services.points.settings import settings
from shared.clock import utc_now
from shared.database import Database
from shared.ids import new_ids
from shared.service import calm_garbage_collector

# Half of them expire by the service's own job, the other half by the bare statement.
ACCOUNTS = 120_000
HALF = ACCOUNTS // 2

# What any ledger of this shape must write for the due lots of a batch of accounts, as one statement without
# deciding, hashing or Python: lots, moves, an entry and a balance for each account, and what to say of it.
FLOOR = """
WITH closed AS (
    UPDATE lots SET remaining_points = 0, expired_points = expired_points + remaining_points
    WHERE member_id = ANY($1::uuid[]) AND remaining_points > 0 AND expires_at <= $3
    RETURNING id, member_id, old.remaining_points AS points
), total AS (
    SELECT closed.member_id, batch.entry_id, sum(points)::bigint AS points
    FROM closed JOIN unnest($1::uuid[], $2::uuid[]) AS batch(member_id, entry_id) USING (member_id)
    GROUP BY closed.member_id, batch.entry_id
), changed AS (
    UPDATE accounts SET sequence = sequence + 1, open_points = open_points - total.points,
                        expired_points = accounts.expired_points + total.points, next_expiry_at = $4
    FROM total WHERE accounts.member_id = total.member_id
    RETURNING accounts.member_id, accounts.sequence, total.entry_id, total.points
), entered AS (
    INSERT INTO entries (member_id, sequence, id, kind, contra, points, about_id, actor, reason, occurred_at,
                         recorded_at)
    SELECT member_id, sequence, entry_id, 'expire', 'expiry', -points, entry_id, 'points',
           'Points passed their date', $3, $3
    FROM changed
), said AS (
    INSERT INTO outbox (event_id, topic, key, type, version, payload, occurred_at)
    SELECT entry_id, 'points', member_id::text, 'points.expired', 1, $5, $3 FROM changed
), moved AS (
    INSERT INTO lot_moves (lot_id, entry_id, points)
    SELECT closed.id, total.entry_id, closed.points FROM closed JOIN total USING (member_id)
    RETURNING 1
)
SELECT count(*) FROM moved
"""

# As long as the JSON of a real `points.expired`.
PAYLOAD = '{"padding":"' + "x" * 210 + '"}'


async def _by_the_service(database: Database) -> float:
    """Run the job until the first half has nothing due; return the seconds it took."""
    started, accounts = time.perf_counter(), 0
    while accounts < HALF:
        accounts += await expire_points(database)
    return time.perf_counter() - started


async def _by_the_statement(url: str, now: datetime) -> tuple[int, float]:
    """Expire what the second half has due, in as many lanes; return how many lots and in how many seconds."""
    chunk, lanes = settings().expiry_chunk_accounts, settings().expiry_lanes
    chunks = [
        [member_id(number) for number in range(first, min(first + chunk, ACCOUNTS))]
        for first in range(HALF, ACCOUNTS, chunk)
    ]
    started = time.perf_counter()
    lots = await asyncio.gather(*(_lane(url, chunks[lane::lanes], now) for lane in range(lanes)))
    return sum(lots), time.perf_counter() - started


async def _lane(url: str, chunks: Sequence[list[UUID]], now: datetime) -> int:
    connection = await asyncpg.connect(url)
    try:
        lots = 0
        for members in chunks:
            lots += await connection.fetchval(FLOOR, members, new_ids(len(members)), now, None, PAYLOAD)
    finally:
        await connection.close()
    return lots


@figure("points.expire")
async def points_expire() -> Figure:
    """Lots per second that the service's job expires: one to five of each account, three on average."""
    calm_garbage_collector()
    with postgres_server() as postgres:
        async with service_database(postgres, "points") as database:
            await fill_points(database.url, ACCOUNTS, due=True, for_writers=True)
            seconds = await _by_the_service(database)
            async with database.reading() as session:
                lots: int = (await session.execute(text("SELECT count(*) FROM lot_moves"))).scalar_one()
            lots_of_floor, floor_seconds = await _by_the_statement(database.url, utc_now())
    value, floor = lots / seconds, lots_of_floor / floor_seconds
    return Figure(
        "points.expire",
        value,
        "lots/s",
        floor,
        "the bare SQL statement, in as many lanes",
        value / floor,
        {"lots": lots, "accounts": HALF, "accounts_per_second": HALF / seconds},
    )
