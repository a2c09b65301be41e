"""Identity, defined once: new things get a UUIDv7, known things get the same UUIDv5 every time.

UUIDv7 (RFC 9562, section 5.7) begins with the millisecond it was made in, so that rows inserted together
lie together in their index. It is no secret: whoever sees an id learns when it was made.
"""

from functools import lru_cache
from uuid import UUID, uuid5

import uuid_utils
from asyncpg.pgproto.pgproto import UUID as DriverUUID

__all__ = ["derived_id", "driver_id", "new_id", "new_ids", "parse_id"]

# The root of every derived id. Changing it would give every known thing a second identity.
_REGULARS = UUID("6f1c2f0e-3b1d-5a5e-9c55-6a1f0f6f7c11")


def new_id() -> UUID:
    """A fresh UUIDv7; ids made one after the other in one process ascend."""
    # The driver's own kind of UUID: equal to Python's in every way, and made ten times faster.
    return DriverUUID(uuid_utils.uuid7().bytes)


def parse_id(text: str) -> UUID:
    """The id that a text such as `0190163d-8694-739b-aea5-966c26f8ad91` names; raises ValueError."""
    return DriverUUID(text)


def driver_id(known: UUID) -> UUID:
    """The same id as the driver's kind of UUID; worth it for one that is hashed or written several times."""
    return DriverUUID(known.bytes)


def new_ids(count: int) -> list[UUID]:
    """`count` fresh ascending UUIDv7s, for a batch of rows."""
    if count < 0:
        raise ValueError(f"cannot make {count} ids")
    return [new_id() for _ in range(count)]


def derived_id(namespace: UUID | str, *parts: str) -> UUID:
    """The UUIDv5 of `parts` under `namespace`: the same words give the same id in every process, for ever.

    Each part goes in with its length before it, so that ("ab", "c") and ("a", "bc") stay two things.
    """
    if not parts:
        raise ValueError("a derived id needs at least one part")
    root = namespace if isinstance(namespace, UUID) else _named(namespace)
    return uuid5(root, "".join(f"{len(part)}:{part}" for part in parts))


@lru_cache(maxsize=256)
def _named(namespace: str) -> UUID:
    return uuid5(_REGULARS, namespace)
