"""How operations' results become answers."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from fastapi import Response

from shared.problems import InvalidItem, Refusal

__all__ = ["answer", "encode", "merged", "status_of"]

R = TypeVar("R")

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
        return _json(body, status_of(body))
    results = [
        {"status": "refused", "problem": outcome.problem()}
        if isinstance(outcome, Refusal)
        else shape(outcome)
        for outcome in outcomes
    ]
    counts = Counter(result["status"] for result in results)
    statuses = ("accepted", "unchanged", "refused")
    return _json({**{status: counts[status] for status in statuses}, "results": results}, 200)


def status_of(body: dict[str, Any]) -> int:
    """The status of a single item's answer."""
    return 200 if body["status"] == "unchanged" else 202 if body.get("state") == "parked" else 201


def encode(body: Any) -> bytes:
    """The JSON of an answer."""
    return _encoder.encode(body)


def _json(body: Any, status: int) -> Response:
    return Response(encode(body), status_code=status, media_type="application/json")
