"""Caps: how much of what a rule gives is granted, and what that uses of each window."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from services.points.domain.rule_sets import PROGRAM, RuleSet


class Window(NamedTuple):
    """A period in which points are counted for a member, or for the program under the id of nobody."""

    subject_id: UUID
    period: str
    starts_on: date


class Cut(NamedTuple):
    """A cap that bit: its name, and the points before and after it."""

    cap: str
    before: int
    after: int


def windows_of(rules: RuleSet, member_id: UUID, paid_at: datetime) -> list[Window]:
    """Return the windows that an order of this member would count in, one for each cap that has any."""
    plan = rules.plan
    return [
        Window(PROGRAM if cap.scope == "program" else member_id, cap.per, starts_on)
        for cap, starts_on in zip(plan.used_caps, plan.window_starts(paid_at), strict=True)
    ]


def capped(
    rules: RuleSet, points: int, windows: Sequence[Window], used: Mapping[Window, int]
) -> tuple[int, list[Cut]]:
    """Return what of `points` is granted, given what the order's windows have used, and which caps bit."""
    cuts: list[Cut] = []
    granted = points
    left = iter(windows)
    for cap in rules.caps:
        room = cap.points
        if cap.per != "order":
            room -= used.get(next(left), 0)
        room = max(0, room)
        if granted > room:
            cuts.append(Cut(cap.id, granted, room))
            granted = room
    return granted, cuts
