"""Share links: who made which, and who came by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.campaigns.domain import Share
from services.campaigns.errors import GroupClosed, GroupNotFound, GroupNotOpen
from services.campaigns.operations.books import first_link_id
from services.campaigns.repository import links as rows
from services.campaigns.settings import settings
from shared.events import LinkShared, LinkVisited
from shared.ids import derived_id
from shared.outbox import emit
from shared.signing import InvalidToken, sign, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeLink:
    """Make a link for a member to share on a channel; `via` is the link that brought them, if known."""

    group_id: UUID
    sharer_id: UUID
    channel: str | None
    via: Share | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody opened the page behind a link."""

    share: Share
    parent_link_id: UUID | None
    at: datetime
    is_bot: bool


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group with its product and seats; `share` is there once its link is valid."""

    group: Row[Any]
    seats: list[Row[Any]]
    share: Share | None


def token_of(share: Share) -> str:
    """Return the signed token of a link."""
    return sign(share.pack(), settings().signing_keys)


def share_of(token: str) -> Share:
    """Return what a token says. Raises InvalidToken if it is not one of our share links."""
    try:
        return Share.unpack(verify(token, settings().signing_keys))
    except ValueError:
        raise InvalidToken from None


async def make_link(session: AsyncSession, command: MakeLink) -> Share:
    """Return a member's link on a channel, making it the first time. Raises if the group is not open."""
    group = await rows.read_group(session, command.group_id)
    if group is None:
        raise GroupNotFound
    if group.state_now == "pending":
        raise GroupNotOpen
    if group.state_now != "open":
        raise GroupClosed
    parent_link_id, generation = await _descent(session, command)
    link = {
        "link_id": derived_id("link", str(command.group_id), str(command.sharer_id), command.channel or ""),
        "activity_id": group.activity_id,
        "group_id": command.group_id,
        "sharer_id": command.sharer_id,
        "channel": command.channel,
        "parent_link_id": parent_link_id,
        "generation": generation,
    }
    new = await rows.insert_links(session, [link])
    await emit(session, [_shared(row) for row in new])
    row = await rows.read_link(session, command.group_id, command.sharer_id, command.channel)
    assert row is not None
    return _share(row)


async def _descent(session: AsyncSession, command: MakeLink) -> tuple[UUID | None, int]:
    """Return (parent link, generation): from the sharer's seat, else from the link that brought them."""
    for seat in await rows.read_seats(session, command.group_id):
        if seat.member_id == command.sharer_id and seat.state in ("paid", "confirmed"):
            return seat.link_id, seat.generation
    if command.via is not None and command.via.group_id == command.group_id:
        return command.via.link_id, command.via.generation + 1
    return None, 0


def _share(row: Row[Any]) -> Share:
    return Share(
        link_id=row.link_id,
        activity_id=row.activity_id,
        group_id=row.group_id,
        sharer_id=row.sharer_id,
        generation=row.generation,
        channel=row.channel,
    )


def _shared(row: Row[Any]) -> LinkShared:
    return LinkShared(
        link_id=row.link_id,
        activity_id=row.activity_id,
        group_id=row.group_id,
        sharer_id=row.sharer_id,
        channel=row.channel,
        parent_link_id=row.parent_link_id,
        generation=row.generation,
        at=row.created_at,
    )


async def group(session: AsyncSession, group_id: UUID) -> GroupView:
    """Return a group with its seats as they are by the clock. Raises GroupNotFound."""
    found = await rows.read_group(session, group_id)
    if found is None:
        raise GroupNotFound
    share = None
    if found.opened_at is not None:
        share = Share(
            link_id=first_link_id(group_id),
            activity_id=found.activity_id,
            group_id=group_id,
            sharer_id=found.initiator_id,
            generation=0,
            channel=None,
        )
    return GroupView(found, await rows.read_seats(session, group_id), share)


async def groups(
    session: AsyncSession, *, activity_id: UUID | None, state: str | None, after: UUID | None, limit: int
) -> list[GroupView]:
    """Return a page of groups, newest first."""
    ids = await rows.list_groups(session, activity_id=activity_id, state=state, after=after, limit=limit)
    return [await group(session, group_id) for group_id in ids]


async def behind(session: AsyncSession, share: Share) -> Row[Any]:
    """Return the group behind a link with its product. Raises InvalidToken if they do not belong together."""
    found = await rows.read_group(session, share.group_id)
    if found is None or found.activity_id != share.activity_id or found.opened_at is None:
        raise InvalidToken
    return found


async def parent_of(session: AsyncSession, share: Share) -> UUID | None:
    """Return the link that brought the sharer of a link, if one did."""
    row = await rows.read_link(session, share.group_id, share.sharer_id, share.channel)
    parent_link_id: UUID | None = None if row is None else row.parent_link_id
    return parent_link_id


async def record_visits(session: AsyncSession, visits: Sequence[Visit]) -> list[None]:
    """Say that links were visited."""
    await emit(
        session,
        [
            LinkVisited(
                link_id=visit.share.link_id,
                activity_id=visit.share.activity_id,
                group_id=visit.share.group_id,
                sharer_id=visit.share.sharer_id,
                channel=visit.share.channel,
                parent_link_id=visit.parent_link_id,
                generation=visit.share.generation,
                at=visit.at,
                is_bot=visit.is_bot,
            )
            for visit in visits
        ],
    )
    return [None] * len(visits)
