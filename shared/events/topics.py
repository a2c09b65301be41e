"""The topics of the bus: what each carries, how it is partitioned and how long it is kept."""

from datetime import timedelta

import msgspec

DEFAULT_PARTITIONS = 6
"""Six divide evenly among 1, 2, 3 and 6 workers; a deployment that needs more sets its own number."""

# Projections and reports are rebuilt by replaying facts, so facts outlive the longest report (365 days).
_FACTS = timedelta(days=730)
# Visits and message fates are many and lose their worth with their campaign; 90 days cover one with its echo.
# A trial of rules is worth nothing once they are decided on.
_TRACES = timedelta(days=90)
# Raw order documents carry addresses. Members keeps what it accepts, so a week is enough to mend an outage.
# The embedded bus lets them go when they are read, and Kafka, which cannot, when the week is over.
_INBOUND = timedelta(days=7)
# The dead-letter table is the way back; the topic is only its loudspeaker for whoever watches the bus.
_DEAD_LETTERS = timedelta(days=30)


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of records that keep their order per key.

    `retention` is how long a record is kept, None for ever; a compacted topic keeps the last record of each
    key instead, and a record without a value erases its key. `personal` marks the topics whose values hold
    personal data and so must never be copied elsewhere (dead letters leave the value out).
    `until_read` lets records of the embedded bus go as soon as every group has read them.
    `bare_type` is the event type of a record that comes without CloudEvents headers, for topics that
    storefronts write with whatever producer they have.
    """

    name: str
    carries: str
    partitions: int = DEFAULT_PARTITIONS
    compacted: bool = False
    retention: timedelta | None = _FACTS
    personal: bool = False
    until_read: bool = False
    bare_type: str | None = None

    @property
    def retention_seconds(self) -> int | None:
        """Retention in whole seconds, None for ever."""
        return None if self.retention is None else self.retention // timedelta(seconds=1)


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(
            name="orders",
            carries="Orders as they are placed, paid, delivered, refunded, cancelled; by member.",
        ),
        Topic(name="members", carries="What happens to members: identity, tier, tags, consent, erasure."),
        Topic(
            name="member-profiles",
            carries="The latest profile of each member; the only topic of ours with personal data.",
            compacted=True,
            retention=None,
            personal=True,
        ),
        Topic(name="points", carries="Movements of points and the rewards granted for them, by member."),
        Topic(name="activities", carries="Group-buy activities as they are scheduled, cancelled and ended."),
        Topic(name="groups", carries="Groups of a group-buy, from the first payment to formed or expired."),
        Topic(name="links", carries="Shares and visits of group links, by activity.", retention=_TRACES),
        Topic(name="coupons", carries="Coupons issued and redeemed, by member."),
        Topic(name="refunds", carries="Refunds that a storefront is asked to make, by order."),
        Topic(name="messages", carries="The fate of every message, by member.", retention=_TRACES),
        Topic(name="segments", carries="Members entering and leaving segments, by member."),
        Topic(
            name="trials",
            carries="What drafts of earning rules would change, asked and answered, by back-test.",
            retention=_TRACES,
        ),
        Topic(name="reports", carries="Published figures that changed afterwards, by report."),
        Topic(
            name="storefront.orders",
            carries="Raw documents of orders and deliveries that storefronts hand in over the bus.",
            retention=_INBOUND,
            personal=True,
            until_read=True,
            bare_type="storefront.order_submitted",
        ),
        Topic(name="dead-letters", carries="Records that a service put aside.", retention=_DEAD_LETTERS),
    )
}
