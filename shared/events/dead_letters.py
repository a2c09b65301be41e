"""Records that a service put aside, for whoever watches the bus."""

from typing import Annotated
from uuid import UUID

from shared.events.base import Event
from shared.events.fields import Code, Identifier, Instant, Natural, Positive, Sentence, says


class DeadLettered(Event, type="dead.lettered", topic="dead-letters", key="dead_letter_id"):
    """A service could not read a record, or its handler refused it, and went on without it.

    The service's dead-letter table keeps the record for a retry. `value` is left out for records of topics
    with personal data.

    Stated by: members, points, campaigns, messaging, analytics.
    Heard by: operators.
    """

    dead_letter_id: Annotated[UUID, says("The row of the service's dead-letter table.")]
    service: Annotated[Code, says("The service that put the record aside.")]
    record_topic: Annotated[Identifier, says("Topic of the record.")]
    record_partition: Annotated[Natural, says("Partition of the record.")]
    record_offset: Annotated[Natural, says("Offset of the record.")]
    record_key: Annotated[str | None, says("Key of the record.")] = None
    event_type: Annotated[str | None, says("Type of the event, if the record says one.")] = None
    event_id: Annotated[UUID | None, says("Id of the event, if the record says one.")] = None
    reason: Annotated[Sentence, says("Why it was put aside.")]
    value: Annotated[bytes | None, says("The record's value in base64.")] = None
    attempts: Annotated[Positive, says("How often it was tried.")] = 1
    dead_lettered_at: Annotated[Instant, says("When it was put aside.")]
