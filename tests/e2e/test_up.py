"""`regulars up`, as somebody types it: it serves, survives, recovers, and leaves nothing behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cli.embedded.ports import LOOPBACK, is_free
from cli.platform import SERVICES
from cli.platform.platform import free_ports
from cli.platform.supervision import belonging_to
from shared.testing import eventually
from tests.architecture.tree import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.kill, pytest.mark.timeout(300)]

STOP_SECONDS = 30.0

ORDER = {
    "source": "shop",
    "shop_id": "main",
    "external_order_id": "1001",
    "external_customer_id": "ada",
    "currency": "USD",
    "placed_at": "2026-01-05T10:00:00Z",
    "paid_at": "2026-01-05T10:00:05Z",
    "lines": [{"sku": "tea", "quantity": 2, "unit_price_minor": 2450}],
}


class Up:
    """One `regulars up` in a process of its own."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--json", "--home", str(home)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def serving(self) -> dict[str, Any]:
        """What it prints once it serves."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._end()
        facts: dict[str, Any] = json.loads(line)
        return facts

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self._process.send_signal(how)
        self._end()
        return self._process.returncode

    def refusal(self) -> str:
        """What it says when it ends by itself."""
        return self._end()

    def _end(self) -> str:
        _, errors = self._process.communicate(timeout=STOP_SECONDS)
        return errors

    def close(self) -> None:
        if self._process.poll() is None:
            self.stop()


@pytest.fixture
def ports() -> dict[str, str]:
    """Free ports for everything that `up` listens on, as environment."""
    *services, mail = free_ports(len(SERVICES) + 1)
    chosen = {
        f"REGULARS_{name.upper()}_PORT": str(port) for name, port in zip(SERVICES, services, strict=True)
    }
    # Neither may lead the platform to servers outside this test.
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "KAFKA_BOOTSTRAP")
    }
    return {**inherited, **chosen, "REGULARS_MESSAGING_SMTP_PORT": str(mail)}


@contextlib.contextmanager
def up(home: Path, environment: dict[str, str]) -> Iterator[Up]:
    platform = Up(home, environment)
    try:
        yield platform
    finally:
        platform.close()


def family(home: Path) -> list[psutil.Process]:
    """Every process of the home, with the children that hide their environment, as PostgreSQL's do."""
    members = belonging_to(home)
    with contextlib.suppress(psutil.NoSuchProcess):
        members += [child for member in belonging_to(home) for child in member.children(recursive=True)]
    return [member for member in members if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]


async def balance(facts: dict[str, Any]) -> int:
    """Ada's points, by asking as a storefront would."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {facts['key']}"}) as client:
        members, points = facts["urls"]["members"], facts["urls"]["points"]
        found = await client.get(f"{members}/v1/members", params={"source": "shop", "external_id": "ada"})
        member = found.json()["items"][0]["member_id"]
        return int((await client.get(f"{points}/v1/members/{member}/points")).json()["available_points"])


async def test_an_order_becomes_points_which_survive_a_restart_and_nothing_is_left_running(
    tmp_path: Path, ports: dict[str, str]
) -> None:
    with up(tmp_path, ports) as first:
        facts = first.serving()
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {facts['key']}"}) as client:
            answer = await client.post(f"{facts['urls']['members']}/v1/orders", json=ORDER)
        assert answer.status_code == 201
        await eventually(lambda: _is(facts, 49), deadline_seconds=60)
        started = family(tmp_path)
        assert len(started) > len(SERVICES)
        assert first.stop() == 0
    # Whoever inherits an orphan may take a moment to bury it; it does not run any more.
    await eventually(lambda: not [process for process in started if process.is_running()])
    assert family(tmp_path) == []
    with up(tmp_path, ports) as second:
        facts = second.serving()
        assert await balance(facts) == 49
        assert second.stop(signal.SIGINT) == 0
    assert family(tmp_path) == []


async def _is(facts: dict[str, Any], points: int) -> bool:
    with contextlib.suppress(httpx.HTTPError, KeyError, IndexError):
        return await balance(facts) == points
    return False


async def test_what_is_killed_comes_back_and_a_killed_starter_leaves_nothing(
    tmp_path: Path, ports: dict[str, str]
) -> None:
    with up(tmp_path, ports) as first:
        facts = first.serving()
        for module in ("services.points", "cli.platform.keeper"):
            (victim,) = [process for process in belonging_to(tmp_path) if module in process.cmdline()]
            victim.kill()
            await eventually(lambda module=module, victim=victim: _replaced(tmp_path, module, victim))
        await eventually(lambda: _ready(facts["urls"]["points"]), deadline_seconds=60)
        assert first.stop(signal.SIGKILL) == -signal.SIGKILL
        await eventually(lambda: not family(tmp_path), deadline_seconds=60)
    with up(tmp_path, ports) as second:
        second.serving()
        # Both are gone at once, so nobody is left to stop the services: the next start finds them.
        (supervisor,) = [
            process for process in belonging_to(tmp_path) if "supervisor.supervisord" in process.cmdline()
        ]
        assert second.stop(signal.SIGKILL) == -signal.SIGKILL
        supervisor.kill()
    with up(tmp_path, ports) as third:
        facts = third.serving()
        assert await _ready(facts["urls"]["members"])
        assert third.stop() == 0
    assert family(tmp_path) == []


def _replaced(home: Path, module: str, victim: psutil.Process) -> bool:
    now = [process for process in belonging_to(home) if module in process.cmdline()]
    return bool(now) and now[0] != victim


async def _ready(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        with contextlib.suppress(httpx.HTTPError):
            return (await client.get(f"{url}/readyz")).status_code == 200
    return False


def test_a_port_that_is_taken_is_named_with_what_to_do(tmp_path: Path, ports: dict[str, str]) -> None:
    port = int(ports["REGULARS_CAMPAIGNS_PORT"])
    with socket.create_server((LOOPBACK, port)), up(tmp_path, ports) as platform:
        said = " ".join(platform.refusal().split())
    assert f"Port {port}, meant for campaigns, is in use" in said
    assert "REGULARS_CAMPAIGNS_PORT" in said
    assert family(tmp_path) == []


def test_a_home_that_is_in_use_is_not_started_twice(tmp_path: Path, ports: dict[str, str]) -> None:
    with up(tmp_path, ports) as first:
        first.serving()
        with up(tmp_path, ports) as second:
            assert "is in use by process" in " ".join(second.refusal().split())
        assert not is_free(int(ports["REGULARS_MEMBERS_PORT"]))
        assert first.stop() == 0
