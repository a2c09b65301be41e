"""Killing in the middle of a load."""

from collections.abc import Callable, Sequence

__all__ = ["MOMENTS", "killing"]

# A third of the way orders are in every stage of theirs; at the end the services still work off what came.
MOMENTS = (1 / 3, 1.0)


def killing(*kills: Callable[[], None], moments: Sequence[float] = MOMENTS) -> Callable[[float], None]:
    """What a storefront's `meanwhile` does to run the kills in turn, one at each of the moments."""
    coming = [(moment, kills[index % len(kills)]) for index, moment in enumerate(moments)]

    def meanwhile(share: float) -> None:
        while coming and share >= coming[0][0]:
            coming.pop(0)[1]()

    return meanwhile
