"""What was wrong with a document, as members of a problem: where, and in which words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["MAX_REPORTED_ERRORS", "error_members", "pointer"]

# A hostile body can hold a million mistakes; the first ones are what a person can act on.
MAX_REPORTED_ERRORS = 100
MAX_POINTER_CHARACTERS = 200


def pointer(location: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901) of a pydantic error location, cut to MAX_POINTER_CHARACTERS."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in location)
    whole = "".join(f"/{step}" for step in steps)
    return whole[:MAX_POINTER_CHARACTERS].encode("utf-8", "backslashreplace").decode()


def error_members(errors: Sequence[Mapping[str, Any]], place: str | None = None) -> dict[str, Any]:
    """pydantic's errors as members of a problem document, without the offending values.

    `place` names where the locations start (body, query, path, header, cookie); without it the first step of
    each location says so, as FastAPI's do.
    """
    reported = []
    for error in errors[:MAX_REPORTED_ERRORS]:
        location = tuple(error["loc"])
        where = place
        if where is None:
            where, location = (str(location[0]), location[1:]) if location else ("body", ())
        reported.append(
            {
                "in": where,
                "pointer": pointer(location),
                "message": str(error["msg"]).removeprefix("Value error, "),
            }
        )
    members: dict[str, Any] = {"errors": reported}
    if len(errors) > MAX_REPORTED_ERRORS:
        members["errors_omitted"] = len(errors) - MAX_REPORTED_ERRORS
    return members
