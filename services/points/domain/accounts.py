"""Accounts and entries: the figures of a member's account, and what stands against it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

# One entry holds at most this; an account then takes more than nine thousand of the largest before a bigint
# overflows, and no genuine order comes near it.
MAX_ENTRY_POINTS: Final = 10**15

# What stands against the member in each kind of entry. Contra accounts are never rows: their balance is the
# negative sum of their entries, so that no row is faced by every posting. A reversal stands against whatever
# the entry that it reverses stood against.
CONTRA_OF_KIND: Final = {
    "earn": "issuance",
    "opening": "issuance",
    "claw_back": "issuance",
    "redeem": "redemption",
    "expire": "expiry",
    "adjust": "adjustment",
    "transfer_in": "transfer",
    "transfer_out": "transfer",
    "merge_in": "transfer",
    "merge_out": "transfer",
    "forfeit": "forfeit",
    "repay": "issuance",
}

# The lifetime figure that an entry of each kind changes, and by how many times its points.
_FIGURE_OF_KIND: Final = {
    "earn": ("earned_points", 1),
    "opening": ("adjusted_points", 1),
    "claw_back": ("clawed_back_points", -1),
    "redeem": ("spent_points", -1),
    "expire": ("expired_points", -1),
    "adjust": ("adjusted_points", 1),
    "transfer_in": ("transferred_points", 1),
    "transfer_out": ("transferred_points", 1),
    "merge_in": ("transferred_points", 1),
    "merge_out": ("transferred_points", 1),
    "forfeit": ("forfeited_points", -1),
    "repay": ("adjusted_points", 1),
}

# A reversal undoes the figure of what it reverses. Of the kinds against issuance only a clawback is reversed.
_FIGURE_OF_REVERSED: Final = {
    "issuance": ("clawed_back_points", -1),
    "redemption": ("spent_points", -1),
    "expiry": ("expired_points", -1),
    "adjustment": ("adjusted_points", 1),
    "transfer": ("transferred_points", 1),
    "forfeit": ("forfeited_points", -1),
}

# What counts as activity where points expire after inactivity.
ACTIVITIES: Final = frozenset({"earn", "redeem"})


class PointsOutOfRange(ValueError):
    """More points than one entry may hold."""


@dataclass(slots=True)
class Account:
    """A member's account as one batch works on it, under its row lock.

    `head` is the hash of the entry `sequence`, its last one; empty before the first. `open_points` are those
    in matured lots, held or not, `pending_points` those that have not matured. The lifetime figures count
    what the batch adds to those in the database; adjusted and transferred points may become fewer. Of those
    in the database it holds that
    open + pending - debt = earned - spent - expired - clawed back - forfeited + adjusted + transferred.
    """

    member_id: UUID
    sequence: int
    head: bytes
    open_points: int
    debt_points: int = 0
    held_points: int = 0
    pending_points: int = 0
    next_expiry_at: datetime | None = None
    sliding_policy: str | None = None
    sliding_expires_at: datetime | None = None
    earned_points: int = 0
    spent_points: int = 0
    expired_points: int = 0
    clawed_back_points: int = 0
    adjusted_points: int = 0
    transferred_points: int = 0
    forfeited_points: int = 0
    # What the batch has brought `next_expiry_at` forward to.
    sooner_at: datetime | None = None

    @property
    def balance_points(self) -> int:
        """Points that are free, less what is owed: negative while the member owes more than there is."""
        return self.open_points - self.held_points - self.debt_points

    @property
    def available_points(self) -> int:
        """Points the member can spend now; none in debt."""
        return max(0, self.balance_points)

    def repay(self, points: int) -> int:
        """Let newly earned points repay debt; return what is left to open a lot with."""
        repaid = min(points, self.debt_points)
        self.debt_points -= repaid
        return points - repaid

    def count(self, kind: str, contra: str, points: int) -> None:
        """Add an entry to the lifetime figure of its kind."""
        name, times = _FIGURE_OF_REVERSED[contra] if kind == "reverse" else _FIGURE_OF_KIND[kind]
        setattr(self, name, getattr(self, name) + times * points)

    def counted(self) -> None:
        """Begin to count anew: what was counted is in the database."""
        self.sooner_at = None
        self.earned_points = self.spent_points = self.expired_points = self.clawed_back_points = 0
        self.adjusted_points = self.transferred_points = self.forfeited_points = 0

    def look_at(self, instant: datetime | None) -> None:
        """Have the account settled at `instant`, if not before."""
        if instant is not None and (self.next_expiry_at is None or instant < self.next_expiry_at):
            self.next_expiry_at = self.sooner_at = instant

    def put_off(self, policy: str, expires_at: datetime) -> None:
        """Put off the one date on which all sliding lots of the account expire; it never moves back."""
        self.sliding_policy = policy
        if self.sliding_expires_at is None or expires_at > self.sliding_expires_at:
            self.sliding_expires_at = expires_at
        self.look_at(self.sliding_expires_at)
