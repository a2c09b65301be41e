"""Caps: how much of what a rule gives is granted, and what that uses of each window."""

from collections.abc import Mapping
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
    """Return the windows that an order of this member would count in."""
    return [
        Window(PROGRAM if cap.scope == "program" else member_id, cap.per, cap.window(paid_at, rules.zone))
        for cap in rules.used_caps
    ]


def capped(
    rules: RuleSet, member_id: UUID, paid_at: datetime, points: int, used: Mapping[Window, int]
) -> tuple[int, list[Cut]]:
    """Return what of `points` is granted, given what the windows have used, and which caps bit."""
    cuts: list[Cut] = []
    granted = points
    for cap in rules.caps:
        room = cap.points
        if cap.per != "order":
            subject = PROGRAM if cap.scope == "program" else member_id
            room -= used.get(Window(subject, cap.per, cap.window(paid_at, rules.zone)), 0)
        if granted > max(0, room):
            cuts.append(Cut(cap.id, granted, max(0, room)))
            granted = max(0, room)
    return granted, cuts
