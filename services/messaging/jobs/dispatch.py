"""The dispatcher: claims a batch, and sends it in waves with the ledger written around each.

A wave is marked as submitted and committed before its first byte goes out, and settled in the transaction
that submits the next one. A few lanes do so at once: while one writes, another sends. So at most
lanes × wave messages are on the wire without the ledger knowing how they ended.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.messaging import operations
from services.messaging.channels import Channels, metrics
from services.messaging.domain import Outcome, OutcomeKind
from services.messaging.operations.dispatching import Ready
from services.messaging.settings import MessagingSettings
from shared.backoff import Backoff
from shared.database import Database, is_outage, is_transient

__all__ = ["deliver", "dispatch"]

# A batch that takes longer hands back what it has not begun, so that the loop is seen to turn.
BATCH_SECONDS = 30.0
# Deliveries claimed at once per free connection.
DELIVERIES_PER_CONNECTION = 5

Result = tuple[Ready, Outcome]


async def dispatch(database: Database, channels: Channels, name: str, settings: MessagingSettings) -> int:
    """Send one batch of due messages over a channel; return how many were claimed."""
    if channels.breakers[name].is_open:
        return 0
    async with database.transaction() as session:
        ready, claimed = await operations.claim(
            session, channels[name], limit=settings.dispatch_batch_messages
        )
    if ready:
        batch = _Batch(database, channels, name, settings, ready)
        await batch.send()
    return claimed


class _Batch:
    """Claimed messages on their way out."""

    def __init__(
        self,
        database: Database,
        channels: Channels,
        name: str,
        settings: MessagingSettings,
        ready: Sequence[Ready],
    ) -> None:
        self._database = database
        self._channel = channels[name]
        self._breaker = channels.breakers[name]
        self._settings = settings
        self._waiting = deque(ready)
        self._unsettled = {item.standing.id for item in ready}
        self._until = time.monotonic() + BATCH_SECONDS

    async def send(self) -> None:
        """Send everything, or as much as the provider and the time allow; the rest goes back."""
        async with self._leases():
            lanes = [asyncio.create_task(self._lane()) for _ in range(self._settings.dispatch_lanes)]
            try:
                # A lane that fails does not cut off the others in the middle of a mail.
                await asyncio.wait(lanes)
            finally:
                for lane in lanes:
                    lane.cancel()
            if self._waiting:
                async with self._database.transaction() as session:
                    await operations.release(session, list(self._waiting))
        for lane in lanes:
            lane.result()

    async def _lane(self) -> None:
        finished: list[Result] = []
        while True:
            wave = self._next_wave()
            submitted = await self._book(finished, wave)
            if not wave:
                return
            started = time.perf_counter()
            outcomes = await self._channel.send([item.outgoing for item in submitted])
            metrics.WAVE_SECONDS.labels(self._channel.name).observe(time.perf_counter() - started)
            finished = list(zip(submitted, outcomes, strict=True))
            self._learn(outcomes)

    def _next_wave(self) -> list[Ready]:
        if self._breaker.is_open or time.monotonic() > self._until:
            return []
        size = min(len(self._waiting), self._settings.dispatch_wave_messages)
        return [self._waiting.popleft() for _ in range(size)]

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        if outcomes and all(outcome.kind is OutcomeKind.UNAVAILABLE for outcome in outcomes):
            self._breaker.trip()
        elif outcomes:
            self._breaker.reset()

    async def _book(self, finished: Sequence[Result], wave: Sequence[Ready]) -> list[Ready]:
        """Settle one wave and submit the next in one transaction; sit out a short outage.

        What was sent but could not be settled would have to count as unknown, hence the patience.
        """
        backoff = Backoff(cap_seconds=1.0)
        patience_until = time.monotonic() + 2 * self._settings.dispatch_lease_seconds
        while finished or wave:
            try:
                async with self._database.transaction() as session:
                    if finished:
                        await operations.settle_attempts(session, finished)
                    submitted = await operations.submit(session, wave) if wave else []
            except Exception as error:
                outage = is_outage(error) or is_transient(error)
                if not outage or time.monotonic() > patience_until:
                    raise
                await backoff.wait()
            else:
                self._unsettled -= {item.standing.id for item, _ in finished}
                return submitted
        return []

    @asynccontextmanager
    async def _leases(self) -> AsyncIterator[None]:
        """Renew the leases of what is not settled yet, until the batch is done."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.dispatch_lease_seconds / 3)
            try:
                async with self._database.transaction() as session:
                    await operations.hold(session, self._unsettled)
            except Exception as error:
                # Without the lease nothing new is submitted, which is all that is needed here.
                if not (is_outage(error) or is_transient(error)):
                    raise


async def deliver(database: Database, channels: Channels, settings: MessagingSettings) -> int:
    """Make one batch of due webhook deliveries; return how many were claimed."""
    async with database.transaction() as session:
        claimed = await operations.claim_deliveries(
            session, limit=settings.webhook_connections * DELIVERIES_PER_CONNECTION
        )
    if not claimed:
        return 0
    outcomes = await asyncio.gather(
        *(channels.caller.call(delivery.endpoint, str(delivery.id), delivery.payload) for delivery in claimed)
    )
    async with database.transaction() as session:
        await operations.settle_deliveries(session, list(zip(claimed, outcomes, strict=True)))
    return len(claimed)
