"""Links by which members say no: signed, acting on POST only (RFC 8058), and safe to use twice."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.operations.persons import with_aliases
from services.messaging.repository import contacts
from services.messaging.repository.contacts import ConsentRow
from services.messaging.settings import settings
from shared.clock import utc_now
from shared.events import ConsentWithdrawn
from shared.outbox import emit
from shared.signing import InvalidToken, sign, verify

__all__ = ["Unsubscription", "read_token", "unsubscribe", "unsubscribe_url"]

_KIND = "u1"
ONE_CLICK = "one_click"


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """What an unsubscribe link is about."""

    member_id: UUID
    channel: str
    purpose: str


def unsubscribe_url(member_id: UUID, channel: str, purpose: str) -> str:
    """The link of a member for a channel and a purpose. It holds ids only, so it may lie around in mails."""
    payload = f"{_KIND}|{member_id.hex}|{channel}|{purpose}".encode()
    return f"{settings().public_url.rstrip('/')}/u/{sign(payload, settings().signing_keys)}"


def read_token(token: str) -> Unsubscription:
    """What a token says; raises InvalidToken."""
    try:
        kind, member, channel, purpose = verify(token, settings().signing_keys).decode().split("|")
        if kind != _KIND:
            raise InvalidToken()
        return Unsubscription(UUID(hex=member), channel, purpose)
    except ValueError as error:
        # Signed by us, but for something else.
        raise InvalidToken() from error


async def unsubscribe(session: AsyncSession, said: Unsubscription) -> bool:
    """Withdraw a consent here and now, and say so; return whether that changed anything.

    A person of several ids says no for all of them: the mail may have gone to any of its addresses.
    """
    now = utc_now()
    members = sorted(await with_aliases(session, [said.member_id]))
    withdrawn = [
        member_id
        for member_id in members
        if await contacts.withdraw(
            session, ConsentRow(member_id, said.channel, said.purpose, False, now, ONE_CLICK)
        )
    ]
    await emit(
        session,
        [
            ConsentWithdrawn(
                member_id=member_id, channel=said.channel, purpose=said.purpose, at=now, source=ONE_CLICK
            )
            for member_id in withdrawn
        ],
    )
    return bool(withdrawn)
