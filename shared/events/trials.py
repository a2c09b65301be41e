"""Trials of earning rules on orders of the past: what points would have been, and which tiers with them."""

from typing import Annotated
from uuid import UUID

from msgspec import Struct

from shared.events.base import Event
from shared.events.fields import Bigint, Code, Instant, MemberId, Natural, Positive, says

BackTestId = Annotated[UUID, says("The back-test.")]
Part = Annotated[Positive, says("Which part of the back-test, from 1; each holds other members.")]

MAX_RECOUNTED = 2_000
"""Changes in one event: some hundred kilobytes."""


class RecountedOrder(Struct, frozen=True, kw_only=True):
    """What an order would have earned beside what it did."""

    at: Annotated[Instant, says("When the order was paid.")]
    points: Annotated[Bigint, says("How many points more, or less.")]


class Recount(Struct, frozen=True, kw_only=True):
    """A member, and what the rules would have made of their earnings."""

    member_id: MemberId
    changes: Annotated[list[RecountedOrder], says("The orders that would have earned more or less.")]


class TrialRecounted(Event, type="trial.recounted", topic="trials", key="back_test_id"):
    """A back-test found members who would have earned more or less; nothing of it has come to pass.

    Who keeps tiers by points can tell from it who would hold another one.

    Stated by: points.
    Heard by: members.
    """

    back_test_id: BackTestId
    part: Part
    members: Annotated[list[Recount], says("Members who would have earned more or less.")]


class TierMove(Struct, frozen=True, kw_only=True):
    """How many members would hold one tier instead of another; none is no tier."""

    from_tier: Annotated[Code | None, says("The tier that they hold.")] = None
    to_tier: Annotated[Code | None, says("The tier that they would hold.")] = None
    is_up: Annotated[bool, says("Whether it is higher.")]
    members: Annotated[Positive, says("How many.")]


class TrialTiersJudged(Event, type="trial.tiers_judged", topic="trials", key="back_test_id"):
    """The tiers that members of a part of a back-test would hold were judged; nobody's tier has changed.

    Stated by: members.
    Heard by: points.
    """

    back_test_id: BackTestId
    part: Part
    tier_version: Annotated[Natural, says("Version of the tier table that judged.")]
    moves: Annotated[list[TierMove], says("Who would hold another tier, counted.")]
    judged_at: Annotated[Instant, says("As of when.")]
