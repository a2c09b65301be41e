"""The HTTP edges: intake by the batch, redemption at 64 connections, an order on its way to a balance."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import httpx

from bench.empty import empty_server
from bench.figure import Figure, figure, percentile
from bench.ground import alone, drained, running_platform
from bench.load import Line, Load, drive, request_bytes
from cli.platform.platform import Platform
from shared.clock import utc_now
from shared.ids import new_id
from shared.testing import eventually

BATCHES, BATCH_ORDERS, BATCHES_IN_FLIGHT = 40, 1_000, 2
# All that an intake of new orders writes but for a row here and there.
INTAKE_TABLES = ("members", "identities", "orders", "order_lines", "outbox")
REDEMPTIONS, CONNECTIONS = 20_000, 64
REDEEMING_MEMBERS = 5_000
PACE_PER_SECOND, PACED_SECONDS = 200, 15
# Every twentieth order is watched: watching all of them would be most of the load.
WATCH_EVERY = 20
POLL_SECONDS = 0.002
VISIBLE_TIMEOUT_SECONDS = 20.0
# Connections to each service; more orders than this are never under way unless something stalls.
LINES = 64


def order_document(number: int, customer: int, *, dice: random.Random) -> dict[str, Any]:
    """Return an order as a storefront hands it in: one line, paid, between 1 and 200 dollars."""
    at = (utc_now() - timedelta(seconds=dice.randrange(3_600))).isoformat()
    price_minor = dice.randrange(100, 20_000)
    return {
        "source": "bench",
        "shop_id": "bench",
        "external_order_id": f"o-{number}",
        "external_customer_id": f"c-{customer}",
        "currency": "USD",
        "placed_at": at,
        "paid_at": at,
        "lines": [{"sku": f"sku-{number % 500}", "quantity": 1, "unit_price_minor": price_minor}],
    }


def _post(path: str, body: Any, platform: Platform, *, keyed: bool = True) -> bytes:
    headers = {"Authorization": f"Bearer {platform.key}"}
    if keyed:
        headers["Idempotency-Key"] = str(new_id())
    return request_bytes("POST", path, json.dumps(body).encode(), headers)


@asynccontextmanager
async def _client(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {platform.key}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        yield client


def _all_of(load: Load, status: int) -> None:
    """A rate of refusals would be a rate of something else."""
    if set(load.statuses) != {status}:
        raise RuntimeError(f"expected only {status}, got {load.statuses}")


async def _same_rows_again(url: str) -> float:
    """Write what an intake wrote once more, rows ready, into tables of the same make; return orders/s."""
    connection = await asyncpg.connect(url)
    try:
        tables = {
            table: list(map(tuple, await connection.fetch(f"SELECT * FROM {table}")))
            for table in INTAKE_TABLES
        }
        await connection.execute("CREATE SCHEMA floor")
        for table in tables:
            await connection.execute(f"CREATE TABLE floor.{table} (LIKE public.{table} INCLUDING ALL)")
        batches = len(tables["orders"]) // BATCH_ORDERS
        started = time.perf_counter()
        for batch in range(batches):
            async with connection.transaction():
                for table, rows in tables.items():
                    share = rows[len(rows) * batch // batches : len(rows) * (batch + 1) // batches]
                    await connection.copy_records_to_table(table, schema_name="floor", records=share)
        return len(tables["orders"]) / (time.perf_counter() - started)
    finally:
        await connection.close()


@figure("intake.http")
async def intake_http() -> Figure:
    """Orders per second over HTTP in batches of 1,000, to the members' committed answer."""
    dice = random.Random(1997)
    batches = [
        [
            order_document(batch * BATCH_ORDERS + n, dice.randrange(20_000), dice=dice)
            for n in range(BATCH_ORDERS)
        ]
        for batch in range(BATCHES)
    ]
    with running_platform() as platform:
        requests = [_post("/v1/orders", batch, platform) for batch in batches]
        await drive(platform.ports["members"], requests[:4], connections=BATCHES_IN_FLIGHT)
        load = await drive(platform.ports["members"], requests[4:], connections=BATCHES_IN_FLIGHT)
        _all_of(load, 200)
        floor = await _same_rows_again(platform.postgres.url("members"))
        value = load.rate * BATCH_ORDERS
    return Figure(
        "intake.http",
        value,
        "orders/s",
        floor,
        "bare COPY of the same rows",
        value / floor,
        {"p99_batch_ms": percentile(load.latencies_seconds, 0.99) * 1000},
    )


async def _members_with_points(platform: Platform, client: httpx.AsyncClient) -> list[str]:
    """Let members buy for 200 dollars each, and return their ids once the points are there."""
    dice = random.Random(1998)
    member_ids: list[str] = []
    for first in range(0, REDEEMING_MEMBERS, BATCH_ORDERS):
        batch = [order_document(n, n, dice=dice) for n in range(first, first + BATCH_ORDERS)]
        for order in batch:
            order["lines"][0]["unit_price_minor"] = 20_000
        answer = await client.post(f"{platform.urls['members']}/v1/orders", json=batch)
        answer.raise_for_status()
        member_ids += [result["member_id"] for result in answer.json()["results"]]
    await drained(platform)
    return member_ids


@figure("redeem.http")
async def redeem_http() -> Figure:
    """Redemptions per second at 64 connections, with key check, idempotency and events."""
    with running_platform() as platform, empty_server() as empty_port:
        async with _client(platform) as client:
            member_ids = await _members_with_points(platform, client)
            promotion_id = str(new_id())
            answer = await client.post(
                f"{platform.urls['points']}/v1/rewards",
                json={
                    "name": "bench",
                    "kind": "coupon",
                    "cost_points": 1,
                    "coupon": {"promotion_id": promotion_id},
                },
            )
            answer.raise_for_status()
            reward_id = answer.json()["reward_id"]
        dice = random.Random(1999)
        requests = [
            _post("/v1/redemptions", {"member_id": dice.choice(member_ids), "reward_id": reward_id}, platform)
            for _ in range(REDEMPTIONS)
        ]
        await alone(platform, "points")
        port = platform.ports["points"]
        _all_of(await drive(port, requests[:4_000], connections=CONNECTIONS), 201)
        load = await drive(port, requests[4_000:], connections=CONNECTIONS)
        _all_of(load, 201)
        await drive(empty_port, requests[:4_000], connections=CONNECTIONS)
        bare = await drive(empty_port, requests[4_000:], connections=CONNECTIONS)
    return Figure(
        "redeem.http",
        load.rate,
        "redemptions/s",
        bare.rate,
        "empty FastAPI POST",
        load.rate / bare.rate,
        {
            "p50_ms": percentile(load.latencies_seconds, 0.5) * 1000,
            "p99_ms": percentile(load.latencies_seconds, 0.99) * 1000,
        },
    )


class _Lines:
    """Connections to one service, each lent to one request at a time."""

    def __init__(self) -> None:
        self._free: asyncio.Queue[Line] = asyncio.Queue()

    def add(self, line: Line) -> None:
        self._free.put_nowait(line)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        line = await self._free.get()
        try:
            return await line.ask(request)
        finally:
            self._free.put_nowait(line)


async def _watched(
    members: _Lines, points: _Lines, platform: Platform, order: bytes, watch: bool
) -> tuple[float, float | None]:
    """Hand in one order; return the seconds to its answer and, if watched, from there to its balance."""
    started = time.perf_counter()
    status, body = await members.ask(order)
    accepted_seconds = time.perf_counter() - started
    if status != 201:
        raise RuntimeError(f"the order was answered {status}")
    if not watch:
        return accepted_seconds, None
    path = f"/v1/members/{json.loads(body)['member_id']}/points"
    question = request_bytes("GET", path, b"", {"Authorization": f"Bearer {platform.key}"})

    async def earned() -> bool:
        _, answer = await points.ask(question)
        return bool(json.loads(answer)["lifetime"]["earned"])

    await eventually(earned, VISIBLE_TIMEOUT_SECONDS, POLL_SECONDS)
    return accepted_seconds, time.perf_counter() - started - accepted_seconds


@figure("order_to_balance.latency")
async def order_to_balance() -> Figure:
    """Milliseconds (p99) from an order's acceptance over HTTP to its visible balance, at 200 orders/s."""
    dice = random.Random(2000)
    count = PACE_PER_SECOND * PACED_SECONDS
    async with AsyncExitStack() as stack:
        platform = stack.enter_context(running_platform())
        orders = [_post("/v1/orders", order_document(n, n, dice=dice), platform) for n in range(count)]
        members, points = _Lines(), _Lines()
        for service, lines in (("members", members), ("points", points)):
            for _ in range(LINES):
                lines.add(await stack.enter_async_context(Line.open(platform.ports[service])))
        tasks = []
        started = time.perf_counter()
        for n, order in enumerate(orders):
            watch = n % WATCH_EVERY == 0
            tasks.append(asyncio.create_task(_watched(members, points, platform, order, watch)))
            await asyncio.sleep(max(0.0, started + (n + 1) / PACE_PER_SECOND - time.perf_counter()))
        results = await asyncio.gather(*tasks)
    # The first seconds warm connections, statements and caches.
    settled = results[PACE_PER_SECOND * 3 :]
    accepted = [accepted_seconds for accepted_seconds, _ in settled]
    visible = [seconds for _, seconds in settled if seconds is not None]
    value, floor = percentile(visible, 0.99) * 1000, percentile(accepted, 0.99) * 1000
    return Figure(
        "order_to_balance.latency",
        value,
        "ms",
        floor,
        "p99 of the POST itself",
        floor / value,
        {
            "p50_ms": percentile(visible, 0.5) * 1000,
            "accepted_p50_ms": percentile(accepted, 0.5) * 1000,
        },
    )
