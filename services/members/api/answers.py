"""How operations' results become answers."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from fastapi import Response

from services.members.operations import Stage
from services.members.schemas import MemberOut, MemberPage, StageOut
from services.members.settings import settings
from shared.problems import InvalidItem, Refusal

__all__ = ["answer", "encode", "etag", "member_out", "member_page", "merged", "revisions_of"]

DAY = timedelta(days=1)

R = TypeVar("R")

ENTITY_TAG = re.compile(r'"[0-9]{1,18}"', re.ASCII)

_encoder = msgspec.json.Encoder()


def merged(items: Sequence[Any], results: Sequence[R | Refusal]) -> list[R | Refusal]:
    """Put the results of the good items and the refusals of the bad ones into the order of the items."""
    outcomes = iter(results)
    return [item if isinstance(item, InvalidItem) else next(outcomes) for item in items]


def answer(
    outcomes: Sequence[R | Refusal], shape: Callable[[R], dict[str, Any]], *, is_single: bool
) -> Response:
    """Answer a batch with one entry per item, or a single item with its own answer.

    A single item's refusal is raised. Accepted is 201, or 202 if it is parked; unchanged is 200.
    """
    if is_single:
        (outcome,) = outcomes
        if isinstance(outcome, Refusal):
            raise outcome
        body = shape(outcome)
        status = 200 if body["status"] == "unchanged" else 202 if body.get("state") == "parked" else 201
        return _json(body, status)
    results = [
        {"status": "refused", "problem": outcome.problem()}
        if isinstance(outcome, Refusal)
        else shape(outcome)
        for outcome in outcomes
    ]
    counts = Counter(result["status"] for result in results)
    statuses = ("accepted", "unchanged", "refused")
    return _json({**{status: counts[status] for status in statuses}, "results": results}, 200)


def encode(body: Any) -> bytes:
    """The JSON of an answer."""
    return _encoder.encode(body)


def member_out(row: Mapping[str, Any]) -> MemberOut:
    """A member as the API shows it."""
    return MemberOut.model_validate({**row, "spend_currency": settings().program_currency})


def member_page(row: Mapping[str, Any]) -> MemberPage:
    """A member with the latest orders and where it stands, as the API shows it."""
    now = {"lifecycle": stage_out(row["lifecycle"]), "spend_currency": settings().program_currency}
    return MemberPage.model_validate({**row, **now})


def stage_out(stage: Stage) -> StageOut:
    """A lifecycle stage, as the API shows it."""
    expected = stage.expected_interval
    return StageOut.model_validate(
        asdict(stage)
        | {
            "expected_interval_days": None if expected is None else round(expected / DAY, 2),
            "recency_ratio": None if stage.ratio is None else round(stage.ratio, 3),
        }
    )


def etag(revision: int) -> str:
    """The entity tag of a member at a revision (RFC 9110, section 8.8.3)."""
    return f'"{revision}"'


def revisions_of(if_match: str | None) -> frozenset[int] | None:
    """The revisions that an If-Match header allows, None for any; a tag that is none of ours allows none."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = (tag.strip() for tag in if_match.split(","))
    # Eighteen digits are more than any revision has, and fewer than a bigint holds.
    return frozenset(int(tag[1:-1]) for tag in tags if ENTITY_TAG.fullmatch(tag))


def _json(body: Any, status: int) -> Response:
    return Response(encode(body), status_code=status, media_type="application/json")
