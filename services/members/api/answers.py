"""How operations' results become answers."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel

from services.members.errors import TooManyItems
from services.members.operations import Stage
from services.members.schemas import (
    Batch,
    BatchAnswer,
    MemberOut,
    MemberPage,
    StageOut,
    batch_body,
    read_batch,
)
from services.members.settings import settings
from shared.batches import only, outcomes_of, results_of
from shared.problems import (
    InvalidRequest,
    MalformedJson,
    PayloadTooLarge,
    Refusal,
    UnsupportedMediaType,
    problem_responses,
)

__all__ = ["answer", "batch_of", "batch_route", "encode", "etag", "member_out", "member_page", "revisions_of"]

DAY = timedelta(days=1)

BODY_REFUSALS = (InvalidRequest, MalformedJson, PayloadTooLarge, TooManyItems, UnsupportedMediaType)

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")

ENTITY_TAG = re.compile(r'"[0-9]{1,18}"', re.ASCII)

_encoder = msgspec.json.Encoder()


def batch_route(
    item: type[BaseModel],
    result: Any,
    *refusals: type[Refusal],
    unchanged: str = "Nothing changed",
    parked: str | None = None,
    lines: bool = False,
) -> dict[str, Any]:
    """The arguments of a route that takes one item or several: what it reads, answers and refuses.

    `unchanged` says when one item is answered with 200, and `parked`, if that can be, until when with 202;
    `lines` says that it reads NDJSON too.
    """
    return {
        "status_code": 201,
        "response_model": result,
        "openapi_extra": batch_body(item, lines=lines),
        "responses": {
            200: {
                "description": f"{unchanged}; or the answer to several items.",
                "model": result | BatchAnswer,
            },
            **({} if parked is None else {202: {"description": f"Parked {parked}.", "model": result}}),
            **problem_responses(*BODY_REFUSALS, *refusals),
        },
    }


async def batch_of(model: type[M], request: Request) -> Batch[M]:
    """The items in the body of a request; raises what `read_batch` raises."""
    return read_batch(model, await request.body(), request.headers.get("content-type", ""))


def answer(batch: Batch[Any], done: Sequence[R | Refusal], shape: Callable[[R], dict[str, Any]]) -> Response:
    """Answer a batch with one entry per item, or a single item with its own answer.

    A single item's refusal is raised. Accepted is 201, or 202 if it is parked; unchanged is 200.
    """
    if batch.is_single:
        body = shape(only(done))
        status = 200 if body["status"] == "unchanged" else 202 if body.get("state") == "parked" else 201
        return _json(body, status)
    results = results_of(outcomes_of(batch.items, done), shape)
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
