"""A consumer that takes a batch, says how large it is, and then does nothing until it is killed."""

import asyncio
import sys

from shared.bus import Bus
from shared.bus.kafka import KafkaBus
from shared.bus.postgres import PostgresBus


async def main(kind: str, address: str, group: str, topic: str) -> None:
    bus: Bus
    if kind == "postgres":
        bus = PostgresBus(address, lease_seconds=3.0)
    else:
        bus = KafkaBus(address, session_seconds=3.0)
    subscription = bus.subscribe(group, [topic])
    while True:
        async with subscription.batch(10, 1.0) as records:
            if records:
                print(len(records), flush=True)
                await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
