"""Rewards: what points buy, and when."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(slots=True)
class Reward:
    """A reward of the catalogue; `stock` is what is left of it, None if that is no matter."""

    id: UUID
    name: str
    kind: str
    cost_points: int
    reference: str | None
    stock: int | None
    per_member_limit: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    retired_at: datetime | None
    cost_minor: int | None
    cost_currency: str | None

    def is_available(self, now: datetime) -> bool:
        """Say whether it can be redeemed at `now`: from its start on, until before its end."""
        if self.retired_at is not None:
            return False
        if self.starts_at is not None and now < self.starts_at:
            return False
        return self.ends_at is None or now < self.ends_at
