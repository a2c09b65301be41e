"""Lots: which pay first, and what is taken from each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(slots=True)
class Lot:
    """An open lot as one batch works on it. What holds have pinned of it is promised to them."""

    id: UUID
    remaining_points: int
    pinned_points: int = 0
    pending: bool = False
    earned_at: datetime | None = None
    # None for never; for a sliding lot, the account's date.
    expires_at: datetime | None = None
    sliding: bool = False

    @property
    def free_points(self) -> int:
        """What is promised to nobody."""
        return self.remaining_points - self.pinned_points


def take(lots: Iterable[Lot], points: int) -> tuple[list[tuple[UUID, int]], int]:
    """Take points from lots in the order given; return (lot, points) moves and what was missing."""
    moves: list[tuple[UUID, int]] = []
    for lot in lots:
        if points == 0:
            break
        taken = min(points, lot.free_points)
        if taken:
            lot.remaining_points -= taken
            points -= taken
            moves.append((lot.id, taken))
    return moves, points


def pin(lots: Iterable[Lot], points: int) -> tuple[list[tuple[UUID, int]], int]:
    """Promise points of lots in the order given; return (lot, points) pins and what was missing."""
    pins: list[tuple[UUID, int]] = []
    for lot in lots:
        if points == 0:
            break
        pinned = min(points, lot.free_points)
        if pinned:
            lot.pinned_points += pinned
            points -= pinned
            pins.append((lot.id, pinned))
    return pins, points


def soonest_first(lot: Lot) -> tuple[bool, datetime, datetime, UUID]:
    """Sort lots into the order of spending: the soonest-expiring first, then the oldest."""
    assert lot.earned_at is not None, "lots that pay come with their dates"
    return lot.expires_at is None, lot.expires_at or lot.earned_at, lot.earned_at, lot.id


def spending_order(lots: Sequence[Lot], first: UUID) -> list[Lot]:
    """Put one lot before the others, which keep their order: a clawback begins with its own order's lot."""
    return sorted(lots, key=lambda lot: lot.id != first)
