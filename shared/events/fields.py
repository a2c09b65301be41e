"""The vocabulary of event fields: types with the bounds that every reader may rely on.

Bounds are checked when a record is read, not when a struct is built (msgspec never checks on construction),
so the services' request models should stay within the `MAX_…` figures here.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta

MIN_BIGINT = -(2**63)
MAX_BIGINT = 2**63 - 1
MAX_CODE = 64
MAX_IDENTIFIER = 255
MAX_TITLE = 500
MAX_SENTENCE = 1000
MAX_ADDRESS = 512
MAX_ORDER_LINES = 1000
MAX_TAGS = 200
MAX_GROUP_SIZE = 100
MAX_ACTIVITY_SKUS = 10_000


def says(meaning: str) -> Meta:
    """The meaning of a field, which generated schemas and the reference print."""
    return Meta(description=meaning)


Bigint = Annotated[int, Meta(ge=MIN_BIGINT, le=MAX_BIGINT)]
"""Any amount that fits PostgreSQL's bigint."""
Natural = Annotated[int, Meta(ge=0, le=MAX_BIGINT)]
"""A bigint that is never negative."""
Positive = Annotated[int, Meta(ge=1, le=MAX_BIGINT)]
"""A bigint of at least one."""
Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time; a value without an offset is refused."""
Code = Annotated[str, Meta(min_length=1, max_length=MAX_CODE)]
"""A short name from a vocabulary that may grow: a source, a channel, a tier, a reason."""
Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_IDENTIFIER)]
"""An id that somebody else gave: an external order id, an SKU, a payment."""
Title = Annotated[str, Meta(max_length=MAX_TITLE)]
"""A name for people to read."""
Sentence = Annotated[str, Meta(max_length=MAX_SENTENCE)]
"""A reason or an explanation in words."""
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
"""ISO 4217 code of a currency."""
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2 code of a country."""

MemberId = Annotated[UUID, says("The member, as members names it.")]
OrderId = Annotated[UUID, says("The order, as members names it.")]
ActivityId = Annotated[UUID, says("The group-buy activity.")]
GroupId = Annotated[UUID, says("The group.")]
Source = Annotated[Code, says("The marketplace or shop system that the ids come from, such as `amazon`.")]
ShopId = Annotated[Identifier, says("The seller's shop, as the source names it.")]
ExternalOrderId = Annotated[Identifier, says("The order, as the source names it.")]
