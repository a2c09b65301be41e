"""Accounts and entries: the figures of a member's account, and what stands against it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

# One entry holds at most this; an account then takes more than nine thousand of the largest before a bigint
# overflows, and no genuine order comes near it.
MAX_ENTRY_POINTS: Final = 10**15


# What stands against the member in each kind of entry. Contra accounts are never rows: their balance is the
# negative sum of their entries, so that no row is faced by every posting.
CONTRA_OF_KIND: Final = {
    "earn": "issuance",
    "claw_back": "issuance",
    "redeem": "redemption",
    "expire": "expiry",
}


class PointsOutOfRange(ValueError):
    """More points than one entry may hold."""


@dataclass(slots=True)
class Account:
    """A member's account as one batch works on it, under its row lock.

    `open_points` are those in open lots; `earned_points` and the like are lifetime figures. It holds that
    open = earned - spent - expired - clawed back + debt.
    """

    member_id: UUID
    sequence: int
    open_points: int
    debt_points: int = 0
    earned_points: int = 0
    spent_points: int = 0
    expired_points: int = 0
    clawed_back_points: int = 0
    held_points: int = 0
    next_expiry_at: datetime | None = None

    @property
    def balance_points(self) -> int:
        """Points the member can spend now; negative by the debt."""
        return self.open_points - self.held_points - self.debt_points

    def repay(self, points: int) -> int:
        """Let newly earned points repay debt; return what is left to open a lot with."""
        repaid = min(points, self.debt_points)
        self.debt_points -= repaid
        return points - repaid
