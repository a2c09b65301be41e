"""One member of a group on the embedded log: fetches ahead, hands batches out, commits, drains."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import structlog

from shared.bus import BusUnavailable, Record, StartAt, TopicPartition
from shared.bus.postgres_fetching import FETCH_RECORDS_MIN, HeldPartition, beginnings, fetch, records_of
from shared.bus.postgres_membership import Renewal, leave, release, renew
from shared.bus.postgres_outage import Connection

if TYPE_CHECKING:
    from shared.bus.postgres import PostgresBus

__all__ = ["PostgresSubscription"]

log = structlog.get_logger(__name__)

COMMIT = """
UPDATE bus.positions AS position SET committed = done.next_offset
FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS done (partition_id, epoch, next_offset)
WHERE position.group_name = $1 AND position.owner = $2
  AND position.partition_id = done.partition_id AND position.epoch = done.epoch
RETURNING position.partition_id
"""

# What a crash of PostgreSQL took back, which did not wait for the disk; never past what was written since.
RESTORE = """
UPDATE bus.positions AS position SET committed = done.next_offset
FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS done (partition_id, epoch, next_offset)
WHERE position.group_name = $1 AND position.owner = $2
  AND position.partition_id = done.partition_id AND position.epoch = done.epoch
  AND position.committed < done.next_offset
"""


class PostgresSubscription:
    """See `shared.bus.Subscription`."""

    def __init__(self, bus: "PostgresBus", group: str, topics: Sequence[str], start: StartAt) -> None:
        self._bus = bus
        self._group = group
        self.topics = tuple(topics)
        self._start_at = start
        self.member: UUID = uuid4()
        self._partitions: dict[int, HeldPartition] = {}
        self._in_hand: list[Record] | None = None
        self._epochs_in_hand: dict[int, int] = {}
        self._by_place: dict[TopicPartition, int] = {}
        self._turn = 0
        self._closed = False
        self._joined = False
        # Set when there may be records to fetch, and when the group's members may have changed.
        self.records_came = asyncio.Event()
        self.group_changed = asyncio.Event()
        self._renewing = asyncio.Lock()
        self._heart: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._looked_everywhere_at = 0.0

    @property
    def group(self) -> str:
        return self._group

    @property
    def assigned(self) -> frozenset[TopicPartition]:
        return frozenset(
            (each.holding.topic, each.holding.number)
            for each in self._partitions.values()
            if each.give_up_at is None
        )

    async def start(self) -> None:
        if self._heart is None:
            self._heart = asyncio.create_task(self._beat(), name=f"bus heartbeat {self._group}")

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for task in (self._heart, self._fetching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._bus.forget(self)
        try:
            async with self._bus.reading() as connection:
                await leave(connection, self._group, self.member)
        except BusUnavailable:
            # The lease will run out by itself.
            log.warning("bus_left_without_goodbye", group=self._group)

    @asynccontextmanager
    async def batch(self, max_records: int, max_wait_seconds: float) -> AsyncIterator[Sequence[Record]]:
        if self._in_hand is not None:
            raise RuntimeError("a batch is in hand already")
        if self._closed:
            raise RuntimeError("the subscription is closed")
        self._in_hand = await self._take(max_records, max_wait_seconds)
        self._epochs_in_hand = {each: held.holding.epoch for each, held in self._partitions.items()}
        try:
            yield self._in_hand
            if self._in_hand:
                await self._commit(self._in_hand)
        except BaseException:
            self._give_back(self._in_hand)
            raise
        finally:
            self._in_hand = None
            if any(each.give_up_at is not None for each in self._partitions.values()):
                self.group_changed.set()

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        await self._move({self._by_place[topic, partition]: offset})

    async def seek_to_beginning(self) -> None:
        async with self._bus.reading() as connection:
            oldest = await beginnings(connection, list(self._partitions))
        await self._move(oldest)

    # Taking, giving back, committing

    async def _take(self, max_records: int, max_wait_seconds: float) -> list[Record]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + max_wait_seconds
        await self._ensure_alive()
        while True:
            # Also while records keep coming: what a lost notification was about may be silent from then on.
            if clock() - self._looked_everywhere_at >= self._bus.poll_seconds:
                self._looked_everywhere_at = clock()
                self.look_everywhere()
            self.records_came.clear()
            if self._fetching is not None:
                await self._fetch(max_records)
            if self._has_room(max_records):
                await self._fetch(max_records)
            records = self._next(max_records)
            if records:
                if self._has_room(max_records):
                    # While this batch is worked on, the next one travels.
                    self._start_fetching(max_records)
                return records
            remaining = deadline - clock()
            if remaining <= 0:
                return []
            try:
                async with asyncio.timeout(min(remaining, self._bus.poll_seconds)):
                    await self.records_came.wait()
            except TimeoutError:
                continue

    def look_at(self, partition_ids: Iterable[int]) -> None:
        """Fetch from these partitions next, as far as they are ours."""
        for partition_id in partition_ids:
            held = self._partitions.get(partition_id)
            if held is not None:
                held.may_have_more = True
                self.records_came.set()

    def look_everywhere(self) -> None:
        """Fetch from every partition of ours next."""
        self.look_at(self._partitions)

    def _has_room(self, max_records: int) -> bool:
        """Say whether there is something to fetch and less than a batch is here."""
        return self._count_ahead() < max_records and bool(self._growing())

    async def _ensure_alive(self) -> None:
        if self._heart is not None and self._heart.done():
            # Only a mistake of ours ends the heartbeat; without it the lease would run out unnoticed.
            self._heart.result()
        await self.start()
        if not self._joined:
            await self._renew()

    def _next(self, max_records: int) -> list[Record]:
        """Up to `max_records` fetched records; the first partition changes, so that none is starved."""
        partitions = [each for each in self._partitions.values() if each.ahead and each.give_up_at is None]
        records: list[Record] = []
        self._turn += 1
        for nth in range(len(partitions)):
            ahead = partitions[(nth + self._turn) % len(partitions)].ahead
            room = max_records - len(records)
            if len(ahead) <= room:
                records.extend(ahead)
                ahead.clear()
            else:
                records.extend(ahead.popleft() for _ in range(room))
            if len(records) == max_records:
                break
        return records

    def _give_back(self, records: Sequence[Record]) -> None:
        for record in reversed(records):
            held = self._partitions.get(self._by_place.get((record.topic, record.partition), -1))
            # A partition that left and came back meanwhile starts at its committed offset anyway.
            if held is not None and held.holding.committed <= record.offset < held.ahead_from:
                held.ahead.appendleft(record)

    async def _commit(self, records: Sequence[Record]) -> None:
        following = {(record.topic, record.partition): record.offset + 1 for record in records}
        offsets = {
            self._by_place[place]: offset
            for place, offset in following.items()
            if self._by_place.get(place) in self._epochs_in_hand
        }
        await self._write_positions(offsets, self._epochs_in_hand)

    async def _write_positions(self, offsets: dict[int, int], epochs: dict[int, int]) -> None:
        async with self._bus.reading() as connection:
            rows = await connection.fetch(
                COMMIT,
                self._group,
                self.member,
                list(offsets),
                [epochs[partition_id] for partition_id in offsets],
                list(offsets.values()),
            )
        written = {row["partition_id"] for row in rows}
        for partition_id in written & self._partitions.keys():
            self._partitions[partition_id].committed = offsets[partition_id]
        if len(written) < len(offsets):
            # Somebody else owns the rest by now and will read the same records again.
            log.warning("bus_commit_fenced", group=self._group, partitions=len(offsets) - len(written))
            for partition_id in offsets.keys() - written:
                self._drop(partition_id)
            self.group_changed.set()

    async def _move(self, offsets: dict[int, int]) -> None:
        if self._in_hand is not None:
            raise RuntimeError("leave the batch before seeking")
        await self._stop_fetching()
        # A renewal meanwhile might take the old place for one that a crash took back, and write it again.
        async with self._renewing:
            epochs = {each: held.holding.epoch for each, held in self._partitions.items()}
            offsets = {each: offset for each, offset in offsets.items() if each in epochs}
            await self._write_positions(offsets, epochs)
            for partition_id, offset in offsets.items():
                held = self._partitions.get(partition_id)
                if held is not None:
                    held.go_to(offset)
                    held.holding = replace(held.holding, committed=offset)

    # Fetching

    def _count_ahead(self) -> int:
        return sum(len(each.ahead) for each in self._partitions.values() if each.give_up_at is None)

    def _growing(self) -> list[HeldPartition]:
        return [each for each in self._partitions.values() if each.may_have_more and each.give_up_at is None]

    def _start_fetching(self, max_records: int) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_now(max_records))

    async def _stop_fetching(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
            self._fetching = None

    async def _fetch(self, max_records: int) -> None:
        """Fetch, or wait for the fetch that is under way."""
        self._start_fetching(max_records)
        assert self._fetching is not None
        try:
            await self._fetching
        finally:
            self._fetching = None

    async def _fetch_now(self, max_records: int) -> None:
        wanted = self._growing()
        if not wanted:
            return
        room = max(FETCH_RECORDS_MIN, (2 * max_records - self._count_ahead()) // len(wanted))
        asked = {each.holding.partition_id: (each, each.jumps) for each in wanted}
        for held in wanted:
            # Before the question, so that what is announced meanwhile is asked for again.
            held.may_have_more = False
        try:
            async with self._bus.reading() as connection:
                rows = await fetch(connection, wanted, room)
        except BaseException:
            for held in wanted:
                held.may_have_more = True
            raise
        for row in rows:
            held, jumps = asked[row["id"]]
            # The partition may have gone, or have been moved, while we waited for the answer.
            if self._partitions.get(row["id"]) is held and held.jumps == jumps:
                self._add(held, row)
        for partition_id, end_offset in {row["id"]: row["end_offset"] for row in rows}.items():
            held, _ = asked[partition_id]
            held.may_have_more |= held.fetched_to < end_offset

    def _add(self, held: HeldPartition, row: asyncpg.Record) -> None:
        holding = held.holding
        if row["base_offset"] > held.fetched_to and not holding.compacted:
            lost = row["base_offset"] - held.fetched_to
            self._bus.report_lost(self._group, holding.topic, holding.number, lost)
            if self._bus.lost_offsets == "latest":
                held.go_to(row["end_offset"])
                return
        held.ahead.extend(records_of(holding, row, held.fetched_to))
        held.fetched_to = row["last_offset"] + 1

    # Membership

    async def _beat(self) -> None:
        while True:
            try:
                await self._renew()
            except BusUnavailable as problem:
                log.warning("bus_heartbeat_failed", group=self._group, problem=str(problem))
            try:
                async with asyncio.timeout(self._bus.heartbeat_seconds):
                    await self.group_changed.wait()
            except TimeoutError:
                continue

    async def _renew(self) -> None:
        async with self._renewing:
            self.group_changed.clear()
            async with self._bus.reading() as connection:
                renewal = await renew(
                    connection,
                    self._group,
                    self.member,
                    self.topics,
                    self._start_at,
                    self._bus.lease_seconds,
                )
                self._accept(renewal)
                await self._restore(connection, renewal)
                leaving = self._drained()
                if leaving:
                    await release(connection, self._group, self.member, leaving)
                    for partition_id in leaving:
                        self._drop(partition_id)
            self._joined = True

    async def _restore(self, connection: Connection, renewal: Renewal) -> None:
        """Write the places again that a crash took back, or they would wait for the next record."""
        lost = [
            (each.partition_id, each.epoch, self._partitions[each.partition_id].committed)
            for each in renewal.holdings
            if each.committed < self._partitions[each.partition_id].committed
        ]
        if lost:
            await connection.execute(RESTORE, self._group, self.member, *map(list, zip(*lost, strict=True)))

    def _accept(self, renewal: Renewal) -> None:
        now = asyncio.get_running_loop().time()
        held_now = {each.partition_id: each for each in renewal.holdings}
        for partition_id, held in list(self._partitions.items()):
            holding = held_now.get(partition_id)
            if holding is None or holding.epoch != held.holding.epoch:
                self._drop(partition_id)
        for partition_id, holding in held_now.items():
            if partition_id not in self._partitions:
                self._partitions[partition_id] = HeldPartition(holding, holding.committed, holding.committed)
                self._by_place[holding.topic, holding.number] = partition_id
                self.records_came.set()
            held = self._partitions[partition_id]
            if partition_id not in renewal.revoked:
                held.give_up_at = None
            elif held.give_up_at is None:
                # Nothing new is handed out of it; what was fetched ahead goes.
                held.give_up_at = now + self._bus.drain_seconds
                held.go_to(held.ahead_from)

    def _drained(self) -> list[int]:
        """Partitions to give up that no batch in hand holds, or holds for too long."""
        now = asyncio.get_running_loop().time()
        busy = {(record.topic, record.partition) for record in self._in_hand or ()}
        return [
            partition_id
            for partition_id, held in self._partitions.items()
            if held.give_up_at is not None
            and ((held.holding.topic, held.holding.number) not in busy or now >= held.give_up_at)
        ]

    def _drop(self, partition_id: int) -> None:
        held = self._partitions.pop(partition_id, None)
        if held is not None:
            self._by_place.pop((held.holding.topic, held.holding.number), None)
