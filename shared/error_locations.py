"""Where in a request's body an error lies, as its sender sees it."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["in_document"]

# What the alternatives of a union say that are of another kind than what was sent.
OTHER_KIND = frozenset({"list_type", "dict_type", "model_type", "model_attributes_type"})


def in_document(errors: Sequence[Mapping[str, Any]], body: Any) -> list[Mapping[str, Any]]:
    """pydantic's errors with locations that lead through the document `body`.

    For a body that may be of several kinds, one item or an array of them, pydantic reports on each and
    puts a name such as `list[Item]` into the location, where nobody who sent a document would look for it.
    """
    located = [_located(error, body) for error in errors]
    fitting = [error for error, is_other_kind in located if not is_other_kind]
    return fitting or [error for error, _ in located]


def _located(error: Mapping[str, Any], body: Any) -> tuple[Mapping[str, Any], bool]:
    place, *steps = error["loc"] or ("body",)
    if place != "body":
        return error, False
    found: list[str | int] = []
    here, named = body, False
    for number, step in enumerate(steps, 1):
        if (isinstance(here, dict) and step in here) or (isinstance(here, list) and step in range(len(here))):
            here = here[step]
        elif number < len(steps) or error["type"] != "missing":
            named = True
            continue
        found.append(step)
    return {**error, "loc": (place, *found)}, named and not found and error["type"] in OTHER_KIND
