"""The fate of every message, and what members say about being written to."""

from typing import Annotated
from uuid import UUID

from shared.events.base import Event
from shared.events.fields import Code, Currency, Identifier, Instant, MemberId, Natural, Sentence, says

MessageId = Annotated[UUID, says("The message; it follows from its cause, so the same message has one id.")]
Channel = Annotated[Code, says("The channel, such as `email`.")]
Purpose = Annotated[Code, says("What the message is for, such as `marketing`.")]
Template = Annotated[Identifier, says("The template, with its version if it has one.")]
Trigger = Annotated[Identifier, says("What caused it: an event type, a campaign, a journey's step.")]
CampaignRef = Annotated[Identifier | None, says("The campaign that it belongs to.")]


class AboutMessage(Event):
    """Which message it is, as every event of its fate says first."""

    message_id: MessageId
    member_id: MemberId
    channel: Channel
    purpose: Purpose
    template: Template
    trigger: Trigger
    campaign_ref: CampaignRef = None


class MessageSent(AboutMessage, type="message.sent", topic="messages", key="member_id"):
    """A message was handed to the channel's provider, which took it.

    Stated by: messaging.
    Heard by: analytics.
    """

    cost_minor: Annotated[Natural | None, says("What the provider charges, in minor units.")] = None
    currency: Annotated[Currency | None, says("Currency of the cost.")] = None
    sent_at: Annotated[Instant, says("When the provider took it.")]


class MessageDelivered(AboutMessage, type="message.delivered", topic="messages", key="member_id"):
    """The provider says that a message arrived.

    Stated by: messaging.
    Heard by: analytics.
    """

    delivered_at: Annotated[Instant, says("When it arrived.")]


class MessageFailed(AboutMessage, type="message.failed", topic="messages", key="member_id"):
    """A message will not arrive: the provider or the address refused it for good.

    Stated by: messaging.
    Heard by: analytics.
    """

    reason: Annotated[Sentence, says("Why; never with an address in it.")]
    failed_at: Annotated[Instant, says("When it was given up.")]


class MessageDropped(AboutMessage, type="message.dropped", topic="messages", key="member_id"):
    """A planned message was not sent on purpose: no consent, a cap, a trigger that is no longer true.

    Stated by: messaging.
    Heard by: analytics.
    """

    reason: Annotated[Sentence, says("The verdict that stopped it.")]
    dropped_at: Annotated[Instant, says("When it was stopped.")]


class ConsentWithdrawn(Event, type="consent.withdrawn", topic="messages", key="member_id"):
    """A member said no on the channel itself: unsubscribed, wrote STOP, complained.

    Stated by: messaging.
    Heard by: members, analytics.
    """

    member_id: MemberId
    channel: Channel
    purpose: Annotated[Code, says("What the member no longer agrees to.")]
    at: Annotated[Instant, says("When the member said so.")]
    source: Annotated[Code, says("How: `one_click`, `keyword`, `complaint`, `preference_page`…")]
