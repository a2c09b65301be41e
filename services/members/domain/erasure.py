"""What is kept of somebody who was erased, and what of their orders may still be told."""

import re
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

__all__ = ["Erasure", "OldName", "fingerprint", "owner_of_late_order", "said_aloud"]

# A reason of one word is a code of the marketplace's; anything longer may be somebody's own words.
CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


class Erasure(NamedTuple):
    """Whom to erase: a member by id, or by the (source, external id) that a source knows them by."""

    member_id: UUID | None = None
    customer: tuple[str, str] | None = None


class OldName(NamedTuple):
    """Whose a name was until it was erased."""

    member_id: UUID
    erased_at: datetime


def fingerprint(source: str, external_id: str, key: bytes) -> bytes:
    """Return 32 bytes that tell a customer's name again and give nothing of it away without the key.

    Keyed BLAKE2b (RFC 7693); the length in front keeps ("a", "bc") and ("ab", "c") apart.
    """
    name = source.encode()
    material = len(name).to_bytes(4, "big") + name + external_id.encode("utf-8", "surrogatepass")
    secret = blake2b(key, digest_size=32).digest()
    return blake2b(material, key=secret, digest_size=32, person=b"erased identity").digest()


def owner_of_late_order(names: Sequence[OldName], placed_at: datetime) -> UUID | None:
    """Return the erased member who placed an order of that name at that time, None if it is somebody new.

    Who comes back after the erasure is a new member, and may be erased again: an order belongs to the first
    erasure that it came before.
    """
    after = [name for name in names if placed_at <= name.erased_at]
    return min(after, key=lambda name: name.erased_at).member_id if after else None


def said_aloud(reason: str | None) -> str | None:
    """Return the part of a reason that may go on the bus, where it cannot be taken back: a code, no prose."""
    return reason if reason is not None and CODE.fullmatch(reason) else None
