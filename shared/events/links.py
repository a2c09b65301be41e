"""Shares and visits of group links: the share tree."""

from typing import Annotated
from uuid import UUID

from shared.events.base import Event
from shared.events.fields import ActivityId, Code, GroupId, Instant, Natural, says

LinkId = Annotated[UUID, says("The link.")]
SharerId = Annotated[UUID | None, says("The member who shared it, if known.")]
Channel = Annotated[Code | None, says("The channel that it was shared on.")]
ParentLink = Annotated[UUID | None, says("The link that brought the sharer; none for an initiator.")]
Generation = Annotated[Natural, says("How many shares away from the initiator; 0 is the initiator's own.")]
IsBot = Annotated[bool, says("Whether it looks like a machine: a preview, a crawler.")]


class AboutLink(Event):
    """Which link it is and how it came about, as both events of a link say first."""

    link_id: LinkId
    activity_id: ActivityId
    group_id: GroupId
    sharer_id: SharerId = None
    channel: Channel = None
    parent_link_id: ParentLink = None
    generation: Generation = 0


class LinkShared(AboutLink, type="link.shared", topic="links", key="activity_id"):
    """A link to a group was made for sharing.

    Stated by: campaigns.
    Heard by: points, analytics.
    """

    at: Annotated[Instant, says("When it was shared.")]
    is_bot: IsBot = False


class LinkVisited(AboutLink, type="link.visited", topic="links", key="activity_id"):
    """Somebody opened the page behind a group link.

    Stated by: campaigns.
    Heard by: analytics.
    """

    at: Annotated[Instant, says("When it was opened.")]
    is_bot: IsBot = False
