"""The geometry of the charts: numbers in, positions in an SVG view box out. Colours are for the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

__all__ = [
    "Bar",
    "Columns",
    "Group",
    "TimeSeries",
    "bars",
    "columns",
    "nice_ticks",
    "time_series",
    "trailing_mean",
]

LEFT: Final = 64
RIGHT: Final = 1024
TOP: Final = 16
BOTTOM: Final = 268
# Below this many days a bar is wide enough to be seen as one; beyond it they become an area.
MOST_BARS: Final = 130


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis."""

    at: float
    value: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """One day: where to point at it, how high it is, and what it stands for."""

    x: float
    width: float
    y: float
    height: float
    day: date
    value: int
    mean: float


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """A value per day and its trailing mean."""

    slots: Sequence[Slot]
    area: str
    mean: str
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    as_bars: bool
    end: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar; `percent` of the largest, `share` of the whole, both in percent."""

    label: str
    value: int
    percent: float
    share: float
    rest: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a group."""

    x: float
    y: float
    width: float
    height: float
    value: int
    series: int


@dataclass(frozen=True, slots=True)
class Group:
    """The columns over one label of the axis."""

    label: str
    x: float
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Columns:
    """Groups of columns over a common scale."""

    groups: Sequence[Group]
    y_ticks: Sequence[Tick]


def nice_ticks(top: float, count: int = 5) -> list[int]:
    """0 and about `count` round numbers (1, 2, 2.5 or 5 times a power of ten) that reach over `top`."""
    if top <= 0:
        return [0, 1]
    raw = top / count
    power = 10 ** (len(str(int(raw))) - 1) if raw >= 1 else 1
    step = next(int(power * factor) for factor in (1, 2, 2.5, 5, 10) if int(power * factor) >= raw)
    ticks = [0]
    while ticks[-1] < top:
        ticks.append(ticks[-1] + step)
    return ticks


def trailing_mean(values: Sequence[int], window: int) -> list[float]:
    """The mean of each value and the `window` - 1 before it, from the first full window on."""
    total = sum(values[: window - 1])
    means = []
    for index in range(window - 1, len(values)):
        total += values[index] - (values[index - window] if index >= window else 0)
        means.append(total / window)
    return means


def time_series(first: date, values: Sequence[int], means: Sequence[float]) -> TimeSeries:
    """A value per day from `first` on and the mean of each day, in the view box."""
    count = len(values)
    ticks = nice_ticks(max(values, default=0))
    step = (RIGHT - LEFT) / max(1, count)
    slots = [
        Slot(
            x=round(LEFT + index * step, 2),
            width=round(step, 3),
            y=_height(value, ticks[-1]),
            height=round(BOTTOM - _height(value, ticks[-1]), 2),
            day=first + timedelta(days=index),
            value=value,
            mean=mean,
        )
        for index, (value, mean) in enumerate(zip(values, means, strict=True))
    ]
    points = [(slot.x + step / 2, slot.y) for slot in slots]
    mean_points = [(slot.x + step / 2, _height(slot.mean, ticks[-1])) for slot in slots]
    area = f"M{LEFT},{BOTTOM} {_line(points)} L{RIGHT},{BOTTOM} Z" if points else ""
    return TimeSeries(
        slots=slots,
        area=area.replace(f"{BOTTOM} M", f"{BOTTOM} L"),
        mean=_line(mean_points),
        y_ticks=[Tick(_height(value, ticks[-1]), value) for value in ticks],
        x_ticks=_day_ticks(first, count, step),
        as_bars=count <= MOST_BARS,
        end=mean_points[-1] if mean_points else (LEFT, BOTTOM),
    )


def _height(value: float, top: int) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * value / top, 2)


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in points) if points else ""


def _day_ticks(first: date, count: int, step: float) -> list[Tick]:
    """The first of every month, of every few months in a long range, or weeks in a short one."""
    days = [first + timedelta(days=index) for index in range(count)]
    if count <= 62:
        chosen = [index for index, day in enumerate(days) if day.weekday() == 0]
        return [_tick(index, days[index], step, f"{days[index].day} {days[index]:%b}") for index in chosen]
    every = 1 if count <= 430 else 2 if count <= 800 else 3
    months = [index for index, day in enumerate(days) if day.day == 1 and (day.month - 1) % every == 0]
    return [
        _tick(
            index,
            days[index],
            step,
            f"{days[index]:%b}" + (f" {days[index]:%Y}" if _names_year(place, days[index]) else ""),
        )
        for place, index in enumerate(months)
    ]


def _names_year(place: int, day: date) -> bool:
    return place == 0 or day.month == 1


def _tick(index: int, day: date, step: float, label: str) -> Tick:
    return Tick(round(LEFT + index * step, 2), day.toordinal(), label)


def bars(rows: Sequence[tuple[str, int]], most: int, rest_label: str) -> list[Bar]:
    """The `most` largest as bars, what is left of them as one more."""
    total = sum(value for _label, value in rows)
    shown = [(label, value, False) for label, value in rows[:most]]
    if len(rows) > most:
        shown.append((rest_label, sum(value for _label, value in rows[most:]), True))
    top = max((value for _label, value, _rest in shown), default=0)
    if not top:
        return []
    return [
        Bar(label, value, round(100 * value / top, 2), 100 * value / total, rest)
        for label, value, rest in shown
    ]


def columns(labels: Sequence[str], series: Sequence[Sequence[int]]) -> Columns:
    """A group of columns per label, one for each series."""
    ticks = nice_ticks(max((max(values, default=0) for values in series), default=0))
    step = (RIGHT - LEFT) / max(1, len(labels))
    # Not wider than a thumb, however few groups there are.
    width = min(34.0, step * 0.72 / max(1, len(series)))
    groups = []
    for index, label in enumerate(labels):
        middle = LEFT + (index + 0.5) * step
        start = middle - width * len(series) / 2
        groups.append(
            Group(
                label,
                round(middle, 2),
                [
                    Column(
                        x=round(start + place * width, 2),
                        y=_height(values[index], ticks[-1]),
                        width=round(width * 0.88, 2),
                        height=round(BOTTOM - _height(values[index], ticks[-1]), 2),
                        value=values[index],
                        series=place,
                    )
                    for place, values in enumerate(series)
                ],
            )
        )
    return Columns(groups, [Tick(_height(value, ticks[-1]), value) for value in ticks])
