"""What an operator types."""

import asyncio
import json
import sys
from typing import Any

from tests.chaos.world import World

__all__ = ["regulars", "verified"]


async def regulars(world: World, *arguments: str) -> str:
    """What the command line prints about this platform."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *arguments,
        "--home",
        str(world.platform.home),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, (out.decode(), err.decode())
    return out.decode()


async def verified(world: World) -> dict[str, Any]:
    """What `regulars verify ledger` finds: sums, chains, caches, lots and holds."""
    facts: dict[str, Any] = json.loads(await regulars(world, "verify", "ledger", "--json"))
    return facts
