"""Who of a group reads which partition: leases in the database, a plan that every member computes alike.

There is no leader. Each member renews its lease every few seconds under the group's lock, computes the same
plan from the same rows, takes the partitions that are planned for it once they are free, and is told which of
its own it must give up. Partitions change hands only when the old owner released them, or when its lease ran
out by the database's clock; each change raises the partition's epoch, which fences late commits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.bus import StartAt
from shared.bus.postgres_outage import Connection
from shared.bus.postgres_schema import GROUPS_CHANNEL

__all__ = ["Holding", "Renewal", "leave", "plan", "release", "renew"]


@dataclass(frozen=True)
class Holding:
    """A partition that the member owns, and where its group goes on."""

    partition_id: int
    topic: str
    number: int
    epoch: int
    committed: int
    compacted: bool


@dataclass(frozen=True)
class Renewal:
    """What a member owns after renewing, and which of it is planned for somebody else."""

    holdings: tuple[Holding, ...]
    revoked: frozenset[int]


def plan(members: Mapping[UUID, Sequence[str]], partitions: Iterable[tuple[int, str]]) -> dict[int, UUID]:
    """The owner of each partition (id, topic): even over the members that subscribe to its topic.

    The member with the fewest so far gets the next one. It depends on nothing but its arguments, so all
    members agree; partitions of topics that nobody subscribes to are left out.
    """
    counts = dict.fromkeys(sorted(members), 0)
    owners: dict[int, UUID] = {}
    for partition_id, topic in sorted(partitions):
        interested = [member for member in counts if topic in members[member]]
        if interested:
            owner = min(interested, key=counts.__getitem__)
            owners[partition_id] = owner
            counts[owner] += 1
    return owners


async def renew(
    connection: Connection,
    group: str,
    member: UUID,
    topics: Sequence[str],
    start: StartAt,
    lease_seconds: float,
) -> Renewal:
    """Join or stay in the group, and take what is planned for this member and free. One transaction."""
    async with connection.transaction():
        await _lock(connection, group)
        expired = await connection.fetch(
            """
            DELETE FROM bus.members WHERE group_name = $1 AND lease_until < clock_timestamp()
            RETURNING member
            """,
            group,
        )
        joined = await connection.fetchval(
            """
            INSERT INTO bus.members (group_name, member, topics, lease_until)
            VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
            ON CONFLICT (group_name, member) DO UPDATE SET lease_until = excluded.lease_until
            RETURNING xmax = 0
            """,
            group,
            member,
            list(topics),
            lease_seconds,
        )
        renewal = await _take(connection, group, member, start)
        if joined or any(row["member"] != member for row in expired):
            await _tell(connection, group)
    return renewal


async def release(connection: Connection, group: str, member: UUID, partition_ids: Sequence[int]) -> None:
    """Give partitions up, so that whoever they are planned for can take them at once."""
    async with connection.transaction():
        await connection.execute(
            """
            UPDATE bus.positions SET owner = NULL, epoch = epoch + 1
            WHERE group_name = $1 AND owner = $2 AND partition_id = ANY ($3::integer[])
            """,
            group,
            member,
            list(partition_ids),
        )
        await _tell(connection, group)


async def leave(connection: Connection, group: str, member: UUID) -> None:
    """Give everything up and be no member any more."""
    async with connection.transaction():
        await _lock(connection, group)
        await connection.execute(
            "UPDATE bus.positions SET owner = NULL, epoch = epoch + 1 WHERE group_name = $1 AND owner = $2",
            group,
            member,
        )
        await connection.execute(
            "DELETE FROM bus.members WHERE group_name = $1 AND member = $2", group, member
        )
        await _tell(connection, group)


async def _lock(connection: Connection, group: str) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"bus group {group}")


async def _tell(connection: Connection, group: str) -> None:
    await connection.execute("SELECT pg_notify($1, $2)", GROUPS_CHANNEL, group)


async def _take(connection: Connection, group: str, member: UUID, start: StartAt) -> Renewal:
    rows = await connection.fetch("SELECT member, topics FROM bus.members WHERE group_name = $1", group)
    members = {row["member"]: row["topics"] for row in rows}
    partitions = await connection.fetch(
        """
        SELECT p.id, p.topic, position.owner
        FROM bus.partitions p
        LEFT JOIN bus.positions position ON position.partition_id = p.id AND position.group_name = $1
        WHERE p.topic = ANY ($2::text[])
        """,
        group,
        sorted({topic for topics in members.values() for topic in topics}),
    )
    planned = plan(members, ((row["id"], row["topic"]) for row in partitions))
    free = [
        row["id"]
        for row in partitions
        if planned.get(row["id"]) == member and row["owner"] != member and row["owner"] not in members
    ]
    if free:
        await _own(connection, group, member, start, free)
    holdings = await _holdings(connection, group, member)
    revoked = frozenset(each.partition_id for each in holdings if planned.get(each.partition_id) != member)
    return Renewal(holdings, revoked)


async def _own(
    connection: Connection, group: str, member: UUID, start: StartAt, partition_ids: Sequence[int]
) -> None:
    # Where a new group begins is written down when it first takes the partition: what is published a
    # moment later must not be skipped by a "latest" that is resolved again after a crash.
    await connection.execute(
        """
        INSERT INTO bus.positions (group_name, partition_id, owner, epoch, committed)
        SELECT $1, p.id, $2, 1,
               CASE WHEN $4 THEN p.next_offset ELSE coalesce(oldest.base_offset, p.next_offset) END
        FROM bus.partitions p
        LEFT JOIN LATERAL (
            SELECT b.base_offset FROM bus.batches b WHERE b.partition_id = p.id ORDER BY b.last_offset LIMIT 1
        ) AS oldest ON true
        WHERE p.id = ANY ($3::integer[])
        ON CONFLICT (group_name, partition_id)
        DO UPDATE SET owner = excluded.owner, epoch = positions.epoch + 1
        """,
        group,
        member,
        list(partition_ids),
        start == "latest",
    )


async def _holdings(connection: Connection, group: str, member: UUID) -> tuple[Holding, ...]:
    rows = await connection.fetch(
        """
        SELECT p.id, p.topic, p.number, position.epoch, position.committed, t.compacted
        FROM bus.positions position
        JOIN bus.partitions p ON p.id = position.partition_id
        JOIN bus.topics t ON t.name = p.topic
        WHERE position.group_name = $1 AND position.owner = $2
        ORDER BY p.id
        """,
        group,
        member,
    )
    return tuple(Holding(*row) for row in rows)
