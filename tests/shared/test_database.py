"""Connections to the database, as long as they last."""

import asyncio
import gc
from contextlib import suppress
from typing import Any

from shared.database import Database


async def test_whoever_is_cut_off_while_connecting_leaves_nothing_behind(platform_database: Database) -> None:
    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))
    # Wherever in the attempt it happens.
    for turns in range(16):
        database = Database(platform_database.url, pool_size=1)
        ping = asyncio.create_task(database.ping())
        for _ in range(turns):
            await asyncio.sleep(0)
        ping.cancel()
        with suppress(asyncio.CancelledError):
            await ping
        await database.close()
    gc.collect()
    await asyncio.sleep(0)
    assert heard == []
