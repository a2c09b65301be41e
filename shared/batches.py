"""Batches of items: which are good, and one result for each, whatever becomes of its neighbours."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from shared.problems import InvalidItem, Refusal

__all__ = ["good_items", "only", "outcomes_of", "results_of"]

M = TypeVar("M")
R = TypeVar("R")


def good_items(items: Sequence[M | InvalidItem]) -> list[M]:
    """Return the items that could be read, in order."""
    return [item for item in items if not isinstance(item, InvalidItem)]


def outcomes_of(items: Sequence[Any], done: Sequence[R | Refusal]) -> list[R | Refusal]:
    """Put what became of the good items, and the refusals of the bad ones, into the order of the items."""
    outcomes = iter(done)
    return [item if isinstance(item, InvalidItem) else next(outcomes) for item in items]


def results_of(outcomes: Sequence[R | Refusal], shape: Callable[[R], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the answer to a batch says of each item: its result, or `refused` and the problem."""
    return [
        {"status": "refused", "problem": outcome.problem()}
        if isinstance(outcome, Refusal)
        else shape(outcome)
        for outcome in outcomes
    ]


def only(outcomes: Sequence[R | Refusal]) -> R:
    """Return the outcome of a batch of one; raises it if it is a refusal."""
    (outcome,) = outcomes
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome
