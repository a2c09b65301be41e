"""Creating topics on Kafka and keeping their settings as the catalogue says."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from shared.bus import TopicSpec

__all__ = ["ensure_topics", "partition_counts"]

# As many copies as is usual, where there are brokers enough.
REPLICATION_FACTOR = 3

# What a tombstone erases must be gone after this time, however little else is written; and whoever was away
# for less still learns of it.
COMPACTION_LAG_MS = 24 * 60 * 60 * 1000

# The event whose first record is refused for want of space is worse than a segment that closes early.
SEGMENT_BYTES = 128 * 1024 * 1024

# Between looks for a topic that was just created.
APPEARANCE_POLL_SECONDS = 0.02


async def ensure_topics(admin: AIOKafkaAdminClient, topics: Sequence[TopicSpec]) -> None:
    """Create missing topics, add missing partitions, set retention and compaction.

    It waits for what it creates to be there, so the caller bounds its time.
    """
    counts = await partition_counts(admin, [topic.name for topic in topics])
    missing = [topic for topic in topics if topic.name not in counts]
    if missing:
        brokers = len((await admin.describe_cluster())["brokers"])
        copies = min(REPLICATION_FACTOR, brokers)
        answer = await admin.create_topics(
            [NewTopic(each.name, each.partitions, copies, topic_configs=_settings(each)) for each in missing]
        )
        # Five services may start at once; who comes second finds the topic made.
        _check((each[0:3] for each in answer.topic_errors), TopicAlreadyExistsError)
        # The controller has made them; the broker that we ask next may not have heard of it yet.
        unseen = {topic.name for topic in missing}
        while True:
            unseen -= (await partition_counts(admin, list(unseen))).keys()
            if not unseen:
                break
            await asyncio.sleep(APPEARANCE_POLL_SECONDS)
    known = [topic for topic in topics if topic.name in counts]
    growing = {
        each.name: NewPartitions(each.partitions) for each in known if each.partitions > counts[each.name]
    }
    if growing:
        _check(each[0:3] for each in (await admin.create_partitions(growing)).topic_errors)
    if known:
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, each.name, _settings(each)) for each in known]
        )


async def partition_counts(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """The number of partitions of those topics that exist."""
    if not topics:
        return {}
    described = await admin.describe_topics(list(topics))
    return {each["topic"]: len(each["partitions"]) for each in described if each["error_code"] == 0}


def _settings(topic: TopicSpec) -> dict[str, str]:
    retention = -1 if topic.retention_seconds is None else topic.retention_seconds * 1000
    compaction = {
        "max.compaction.lag.ms": str(COMPACTION_LAG_MS),
        "delete.retention.ms": str(COMPACTION_LAG_MS),
    }
    return {
        **(compaction if topic.compacted else {}),
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": str(retention),
        "segment.bytes": str(SEGMENT_BYTES),
    }


def _check(answers: Any, *harmless: type[KafkaError]) -> None:
    for name, code, *_ in answers:
        kind = for_code(code)
        if kind is not NoError and kind not in harmless:
            raise kind(f"topic {name}")
