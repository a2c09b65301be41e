"""Lists by the page: an opaque cursor says where the next page begins.

A cursor holds the position of the last item (the values of the list's sort key), so a page costs the same
however deep it lies, and items that come or go meanwhile shift nothing. It carries a position and no
permission: every request is authorised as if it had none. The checksum is against cut-off, edited and
hand-made cursors, which get a clear answer instead of a surprising page; it is no signature.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Final, Generic, TypeVar, overload

import msgspec
from fastapi import Query
from pydantic import BaseModel, Field

from shared.problems import BadRequest

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_CURSOR_CHARACTERS",
    "MAX_LIMIT",
    "Cursor",
    "InvalidCursor",
    "Limit",
    "Page",
    "cut",
    "decode_cursor",
    "encode_cursor",
]

# Items of a page: what a screen shows, and what one answer may cost at most.
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200

# A position is a few ids and instants; anything longer was not made here.
MAX_CURSOR_CHARACTERS: Final = 1_024

_CHECKSUM_BYTES: Final = 6
# Part of every checksum, so that a change of the format refuses the cursors made before it.
_FORMAT: Final = b"regulars page 1"

_Item = TypeVar("_Item")
_Row = TypeVar("_Row")
_Position = TypeVar("_Position")

Limit = Annotated[
    int, Query(ge=1, le=MAX_LIMIT, description=f"How many items at most, {MAX_LIMIT} at the limit.")
]
Cursor = Annotated[
    str | None, Query(description="`next_cursor` of the page before; absent for the first page. Opaque.")
]


class InvalidCursor(BadRequest):
    """The cursor is not one that this list gave out."""


class Page(BaseModel, Generic[_Item]):
    """One page of a list."""

    items: list[_Item]
    next_cursor: str | None = Field(
        default=None, description="Pass it as `cursor` for the next page; null on the last one."
    )


def encode_cursor(position: Mapping[str, Any] | msgspec.Struct) -> str:
    """`position` as base64url text without padding: a checksum of 6 bytes, then the JSON.

    Values are what msgspec writes as JSON; UUIDs and datetimes become strings. Raises `ValueError` if the
    position is too long for a cursor.
    """
    payload = msgspec.json.encode(position)
    cursor = urlsafe_b64encode(_checksum(payload) + payload).rstrip(b"=").decode("ascii")
    if len(cursor) > MAX_CURSOR_CHARACTERS:
        raise ValueError(f"a position of {len(payload)} bytes is too long for a cursor")
    return cursor


@overload
def decode_cursor(cursor: str) -> dict[str, Any]: ...
@overload
def decode_cursor(cursor: str, shape: type[_Position]) -> _Position: ...
def decode_cursor(cursor: str, shape: Any = dict[str, Any]) -> Any:
    """The position in a cursor, as `shape` (a msgspec struct, say); raises `InvalidCursor` (400).

    With a shape, UUIDs and datetimes come back as such, and a cursor of another list is refused.
    """
    if len(cursor) > MAX_CURSOR_CHARACTERS:
        raise InvalidCursor()
    try:
        sealed = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        payload = sealed[_CHECKSUM_BYTES:]
        position = msgspec.json.decode(payload, type=shape)
    except (ValueError, msgspec.MsgspecError) as error:
        # binascii.Error and UnicodeError are ValueErrors too.
        raise InvalidCursor() from error
    # Re-encoding compares the checksum, and every character: base64 skips foreign ones and loose last bits.
    if urlsafe_b64encode(_checksum(payload) + payload).rstrip(b"=").decode("ascii") != cursor:
        raise InvalidCursor()
    return position


def cut(
    rows: Sequence[_Row], limit: int, position: Callable[[_Row], Mapping[str, Any] | msgspec.Struct]
) -> tuple[Sequence[_Row], str | None]:
    """The rows of one page and the cursor of the next, from a query that asked for `limit + 1` rows.

    The row too many is never shown; it only says that there is more. `position` gives the sort key of a row.
    """
    if len(rows) <= limit:
        return rows, None
    page = rows[:limit]
    return page, encode_cursor(position(page[-1]))


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_CHECKSUM_BYTES, person=_FORMAT).digest()
