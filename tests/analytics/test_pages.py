"""The report: charts whose geometry is right, numbers as people write them, text that stays text."""

from datetime import date, timedelta
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics import operations
from services.analytics.pages import render_report
from services.analytics.pages.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    bars,
    columns,
    nice_ticks,
    time_series,
    trailing_mean,
)
from services.analytics.pages.rendering import axis_money, money, short
from shared.database import Database
from shared.events import OrderLine
from tests.analytics.world import envelope, hear, history, paid

VALUES = st.lists(st.integers(0, 10**12), min_size=1, max_size=500)


@given(st.integers(1, 10**15))
def test_ticks_reach_over_the_top_and_are_few(top: int) -> None:
    ticks = nice_ticks(top)
    assert ticks[0] == 0
    assert ticks[-2] < top <= ticks[-1]
    assert len(ticks) <= 7
    assert len({after - before for before, after in pairwise(ticks)}) == 1


@given(VALUES, st.integers(1, 9))
def test_a_trailing_mean_is_the_mean_of_its_window(values: list[int], window: int) -> None:
    means = trailing_mean(values, window)
    assert len(means) == max(0, len(values) - window + 1)
    for index, mean in enumerate(means):
        assert mean == pytest.approx(sum(values[index : index + window]) / window)


@given(VALUES)
def test_a_time_series_stays_inside_its_frame(values: list[int]) -> None:
    series = time_series(date(2026, 1, 1), values, [float(value) for value in values])
    assert len(series.slots) == len(values)
    for slot in series.slots:
        assert LEFT <= slot.x <= RIGHT
        assert TOP <= slot.y <= BOTTOM
    assert series.slots[-1].day == date(2026, 1, 1) + timedelta(days=len(values) - 1)
    assert series.x_ticks or len(values) < 62


def test_bars_and_columns() -> None:
    found = bars([("a", 60), ("b", 30), ("c", 6), ("d", 4)], 2, "others")
    assert [(bar.label, bar.value, bar.percent, bar.share, bar.rest) for bar in found] == [
        ("a", 60, 100.0, 60.0, False),
        ("b", 30, 50.0, 30.0, False),
        ("others", 10, 16.67, 10.0, True),
    ]
    assert bars([], 3, "others") == []
    groups = columns(["Jan", "Feb"], [[10, 0], [5, 5]]).groups
    assert [[column.value for column in group.columns] for group in groups] == [[10, 5], [0, 5]]


def test_numbers_as_people_write_them() -> None:
    assert money(123456789, "USD") == "$1,234,567.89"
    assert money(-150, "EUR") == "−€1.50"
    assert money(150, "USD", whole=True) == "$2"
    assert money(1500, "JPY") == "¥1,500"
    assert money(1234567, "KWD") == "1,234.567\u00a0KWD"
    assert axis_money(250_000, "USD") == "$2.5k"
    assert [short(value) for value in (0, 999, 1000, 2_500_000, 0.25)] == ["0", "999", "1k", "2.5M", "0.25"]


class Outline(HTMLParser):
    """Which elements a page has, and whether each is closed."""

    VOID = frozenset({"meta", "col", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_report_is_one_document_that_needs_nothing_else(analytics_database: Database) -> None:
    nasty = OrderLine(
        line_no=1,
        sku="x",
        product_id="x",
        title="<script>alert(1)</script>",
        quantity=1,
        unit_price_minor=900_000,
    )
    await hear(analytics_database, [*history(), envelope(paid(500, currency="USD", lines=[nasty]))])
    async with analytics_database.reading() as session:
        figures = await operations.report(
            session, currency="USD", first=date(2026, 3, 1), last=date(2026, 11, 1)
        )
    page = render_report(figures)
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert "script" not in outline.seen
    assert not any(name in ("src", "onclick", "onload") for name, _value in outline.attributes)
    assert not any(name == "href" and not (value or "").startswith("?") for name, value in outline.attributes)
    assert "&lt;script&gt;alert(1)" in page
    # Every chart says what it shows, and says it again as a table.
    assert outline.seen.count("desc") == outline.seen.count("details") == 2
    assert page.count('role="img"') == 2
    assert "Revenue by channel" in page
    assert "prefers-color-scheme: dark" in page
