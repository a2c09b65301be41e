"""What a measurement is: a value beside a floor from the same run.

These machines are shared and noisy, so an absolute rate says little; its ratio to the least work that any
implementation must do, measured a moment before or after on the same machine, says much.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

__all__ = ["FIGURES", "Figure", "figure", "percentile"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `ratio` is value / floor for rates and floor / value for times: 1 is the floor."""

    name: str
    value: float
    unit: str
    floor: float
    floor_name: str
    ratio: float
    details: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> str:
        """Return the figure as one line of JSON."""
        return json.dumps(
            {
                "name": self.name,
                "value": round(self.value, 3),
                "unit": self.unit,
                "floor": round(self.floor, 3),
                "floor_name": self.floor_name,
                "ratio": round(self.ratio, 3),
                **{name: round(value, 3) for name, value in self.details.items()},
            }
        )


Measure = Callable[[], Awaitable[Figure]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """How a figure is measured; one that takes longer than its limit is stuck, and given up."""

    measure: Measure
    limit_seconds: float

    @property
    def meaning(self) -> str:
        """The first paragraph of what the measurement says of itself."""
        return " ".join((self.measure.__doc__ or "").partition("\n\n")[0].split())


FIGURES: dict[str, Measurement] = {}


def figure(name: str, *, limit_seconds: float = 120.0) -> Callable[[Measure], Measure]:
    """Register a measurement under its name."""

    def register(measure: Measure) -> Measure:
        FIGURES[name] = Measurement(measure, limit_seconds)
        return measure

    return register


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]
