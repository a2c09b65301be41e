"""One member on one page, with a million members and ten million entries in the databases."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import httpx

from bench.crowd import ENTRIES_PER_MEMBER, fill_members, fill_points, member_id
from bench.empty import empty_server
from bench.figure import Figure, figure, percentile
from bench.ground import postgres_server, service_database
from bench.load import Load, pace, request_bytes
from cli.platform.platform import free_ports
from shared.settings import DEVELOPMENT_KEY

# A slow or busy machine may be asked for a smaller crowd; the figure says how large it was.
MEMBERS = int(os.environ.get("REGULARS_BENCH_MEMBERS", "1000000"))
PAGES_PER_SECOND, PACED_SECONDS, WARMING_SECONDS = 25, 8, 2
CONNECTIONS = 8
START_TIMEOUT_SECONDS, START_POLL_SECONDS = 30.0, 0.05


@contextmanager
def _api(service: str, url: str, port: int) -> Iterator[None]:
    """Run one service that answers and does nothing else."""
    prefix = f"REGULARS_{service.upper()}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REGULARS_")},
        f"{prefix}_DATABASE_URL": url,
        f"{prefix}_PORT": str(port),
        "REGULARS_ROLE": "api",
        "REGULARS_BUS_DATABASE_URL": url,
        "REGULARS_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen([sys.executable, "-m", f"services.{service}"], env=environment)
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} did not answer")
        time.sleep(START_POLL_SECONDS)


async def _paced(port: int, paths: Sequence[str]) -> Load:
    """Ask for pages at a steady rate, and leave out those that warmed connections and statements."""
    headers = {"Authorization": f"Bearer {DEVELOPMENT_KEY}"}
    requests = [request_bytes("GET", path, b"", headers) for path in paths]
    warming = WARMING_SECONDS * PAGES_PER_SECOND
    await pace(port, requests[:warming], per_second=PAGES_PER_SECOND, connections=CONNECTIONS)
    load = await pace(port, requests[warming:], per_second=PAGES_PER_SECOND, connections=CONNECTIONS)
    if set(load.statuses) != {200}:
        raise RuntimeError(f"expected only 200, got {load.statuses}")
    return load


@figure("member_page.http", limit_seconds=300.0)
async def member_page_http() -> Figure:
    """Milliseconds (p95) to one member's page, the slower of what members and points answer, at 25 pages/s.
    With a million members and ten million entries; REGULARS_BENCH_MEMBERS=20000 is quick.

    Every page is of a random member of a million, whom nobody asked for before.
    """
    dice = random.Random(2004)
    ids = [
        member_id(dice.randrange(MEMBERS))
        for _ in range((WARMING_SECONDS + PACED_SECONDS) * PAGES_PER_SECOND)
    ]
    with ExitStack() as running:
        server = running.enter_context(postgres_server(durable=False))
        urls = []
        for service in ("members", "points"):
            async with service_database(server, service) as database:
                urls.append(database.url)
        seconds = await asyncio.gather(fill_members(urls[0], MEMBERS), fill_points(urls[1], MEMBERS))
        ports = free_ports(2)
        for service, url, port in zip(("members", "points"), urls, ports, strict=True):
            running.enter_context(_api(service, url, port))
        members, points = await asyncio.gather(
            _paced(ports[0], [f"/v1/members/{each}" for each in ids]),
            _paced(ports[1], [f"/v1/members/{each}/points" for each in ids]),
        )
        empty = await _paced(running.enter_context(empty_server()), [f"/{each}" for each in ids])
    p95 = {
        name: percentile(load.latencies_seconds, 0.95) * 1000
        for name, load in (("members", members), ("points", points))
    }
    value, floor = max(p95.values()), percentile(empty.latencies_seconds, 0.95) * 1000
    return Figure(
        "member_page.http",
        value,
        "ms",
        floor,
        "p95 of an empty FastAPI GET at the same pace",
        floor / value,
        {
            "members_p50_ms": percentile(members.latencies_seconds, 0.5) * 1000,
            "members_p95_ms": p95["members"],
            "points_p50_ms": percentile(points.latencies_seconds, 0.5) * 1000,
            "points_p95_ms": p95["points"],
            "members": MEMBERS,
            "entries": MEMBERS * ENTRIES_PER_MEMBER,
            "fill_seconds": max(seconds),
        },
    )
