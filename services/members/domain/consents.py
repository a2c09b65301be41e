"""Consent of record: the latest statement holds, and of two at the same instant the stricter one."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

__all__ = ["ConsentState", "Statement", "heard"]


class Statement(NamedTuple):
    """What a member said about being written to. `source` is where, `actor` who wrote it down."""

    member_id: UUID
    channel: str
    purpose: str
    granted: bool
    stated_at: datetime
    wording_hash: str | None
    source: str
    actor: str

    @property
    def subject(self) -> tuple[UUID, str, str]:
        """What the statement is about: one member, channel and purpose."""
        return (self.member_id, self.channel, self.purpose)


@dataclass(frozen=True, slots=True)
class ConsentState:
    """What holds now for one member, channel and purpose."""

    granted: bool
    stated_at: datetime


def heard(known: ConsentState | None, statement: Statement) -> tuple[bool, bool]:
    """Say whether the statement now holds, and whether anybody has to be told.

    A late statement that differs changes nothing, but the profile is said again with the instant of what
    holds: whoever heard the late one elsewhere then knows that it is old.
    """
    if known is None:
        return True, True
    order = (statement.stated_at, not statement.granted)
    holds = order > (known.stated_at, not known.granted)
    return holds, statement.granted != known.granted
