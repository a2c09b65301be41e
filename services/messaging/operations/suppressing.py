"""Addresses that are left alone by an operator's word."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.messaging.channels.mail import is_mail_address
from services.messaging.errors import InvalidAddress
from services.messaging.repository import contacts

__all__ = ["lift", "suppress"]

REASON = "operator"


async def suppress(session: AsyncSession, channel: str, address: str) -> None:
    """Leave an address alone until it is lifted. Raises InvalidAddress."""
    if not is_mail_address(address):
        raise InvalidAddress
    await contacts.suppress(session, channel=channel, address=address, reason=REASON)


async def lift(session: AsyncSession, channel: str, address: str) -> None:
    """Stop leaving an address alone, if it was. Raises InvalidAddress."""
    if not is_mail_address(address):
        raise InvalidAddress
    await contacts.lift_suppression(session, channel=channel, address=address)
