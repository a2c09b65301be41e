"""How bodies of several items come in, and how each is answered."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from services.points.api.access import MAX_ITEMS
from shared.batches import outcomes_of, results_of
from shared.problems import Refusal
from shared.schemas import OrRefusal

__all__ = ["Results", "Several", "answer_each"]

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")

# A bad item is its refusal, so that it does not fail its neighbours; `good_items` leaves those out.
Several = Annotated[list[Annotated[M, OrRefusal]], Field(min_length=1, max_length=MAX_ITEMS)]
Results = dict[str, list[dict[str, Any]]]


def answer_each(
    items: Sequence[BaseModel], done: Sequence[R | Refusal], shape: Callable[[R], dict[str, Any]]
) -> Results:
    """Answer each item in order: what became of the good ones, and why the others were refused."""
    return {"results": results_of(outcomes_of(items, done), shape)}
