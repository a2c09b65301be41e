"""From figures to the page: words, numbers as people write them, and which chart shows what."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.analytics.operations import CampaignFigures, ReportFigures
from services.analytics.operations.report import MEAN_DAYS
from services.analytics.pages.charts import Bar, bars, columns, time_series, trailing_mean
from shared.money import decimal_text, exponent

__all__ = ["render_report"]

MOST_BARS: Final = 8
RANGES: Final = ((30, "30 days"), (90, "90 days"), (365, "12 months"))
SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "CN¥", "AUD": "A$", "CAD": "C$"}
# The order that the tiers of the default programme have; others come after, by name.
TIER_ORDER: Final = ("platinum", "gold", "silver", "bronze")
# From stranger to regular, and from there away or back.
STAGE_ORDER: Final = ("identification", "development", "stability", "recovered", "decline", "lost")


def money(amount_minor: int, currency: str, *, whole: bool = False) -> str:
    """An amount with thousands separators: $1,234.50, or $1,234 if `whole` (rounded half away from zero)."""
    if whole:
        unit: int = 10 ** exponent(currency)
        text = f"{(2 * abs(amount_minor) + unit) // (2 * unit):,}"
    else:
        units, point, cents = decimal_text(abs(amount_minor), currency).partition(".")
        text = f"{int(units):,}{point}{cents}"
    sign = "−" if amount_minor < 0 else ""
    symbol = SYMBOLS.get(currency)
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text}\u00a0{currency}"


def short(value: float) -> str:
    """A number for an axis: 1,200 as 1.2k, 3,000,000 as 3M."""
    for size, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if abs(value) >= size:
            return f"{value / size:.1f}".removesuffix(".0") + letter
    return f"{value:.2f}".rstrip("0").rstrip(".")


def axis_money(amount_minor: int, currency: str) -> str:
    """An amount for an axis."""
    text = short(amount_minor / 10 ** exponent(currency))
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{text}" if symbol else text


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("services.analytics", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "money": money,
        "axis_money": axis_money,
        "short": short,
        "number": lambda value: f"{value:,}",
        "day": _day,
    }
    return environment


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def render_report(figures: ReportFigures) -> str:
    """The report as one HTML document that needs nothing else: no script, no style sheet, no picture."""
    span = (figures.last - figures.first).days + 1
    by_day = {row.day: row for row in figures.days}
    start = figures.first - timedelta(days=MEAN_DAYS - 1)
    values = [_revenue(by_day, start + timedelta(days=index)) for index in range(span + MEAN_DAYS - 1)]
    inside = [row for row in figures.days if row.day >= figures.first]
    series = time_series(figures.first, values[MEAN_DAYS - 1 :], trailing_mean(values, MEAN_DAYS))
    return (
        _environment()
        .get_template("report.html")
        .render(
            figures=figures,
            series=series,
            weeks=_weeks(series.slots),
            tiles=_tiles(figures, inside),
            channels=_shares(figures.channels, "(no channel named)"),
            shops=_shares(figures.shops, "(no shop)"),
            products=_shares(figures.products, "(no product)"),
            tiers=_tiers(figures),
            stages=_stages(figures),
            points=columns(
                [_month(row.month, place, len(figures.points)) for place, row in enumerate(figures.points)],
                [[getattr(row, name) for row in figures.points] for name in ("earned", "spent", "expired")],
            ),
            points_rows=figures.points,
            campaigns=[_campaign(found) for found in figures.campaigns],
            ranges=_ranges(figures, span),
            best=max(series.slots, key=lambda slot: slot.value, default=None),
        )
    )


def _revenue(by_day: dict[date, Any], day: date) -> int:
    row = by_day.get(day)
    return 0 if row is None else int(row.revenue_minor)


def _month(month: date, place: int, count: int) -> str:
    # Of many months only every third is named, which may leave out January.
    if count > 16:
        return f"{month:%b %Y}"
    return f"{month:%b %Y}" if place == 0 or month.month == 1 else f"{month:%b}"


def _weeks(slots: Sequence[Any]) -> list[tuple[date, date, int]]:
    """The series as a table: a row per seven days, so that it can be read and not only scrolled."""
    return [
        (part[0].day, part[-1].day, sum(slot.value for slot in part))
        for part in (slots[start : start + 7] for start in range(0, len(slots), 7))
    ]


def _tiles(figures: ReportFigures, inside: Sequence[Any]) -> list[dict[str, Any]]:
    """The headline figures, each with how it stands to the range of the same length before."""
    now, then = _sums(inside), _sums(figures.before)
    currency = figures.currency
    comparable = figures.first - timedelta(days=(figures.last - figures.first).days + 1) >= figures.oldest

    def tile(label: str, value: str, current: float, before: float, better: int = 1) -> dict[str, Any]:
        change = 100 * (current - before) / before if comparable and before else None
        return {"label": label, "value": value, "change": change, "better": better}

    average = now["revenue_minor"] // now["orders"] if now["orders"] else 0
    average_before = then["revenue_minor"] // then["orders"] if then["orders"] else 0
    return [
        tile(
            "Revenue",
            money(now["revenue_minor"], currency, whole=True),
            now["revenue_minor"],
            then["revenue_minor"],
        ),
        tile("Orders", f"{now['orders']:,}", now["orders"], then["orders"]),
        tile("Average order", money(average, currency), average, average_before),
        tile("Units sold", f"{now['units']:,}", now["units"], then["units"]),
        tile(
            "Refunded",
            money(now["refunded_minor"], currency, whole=True),
            now["refunded_minor"],
            then["refunded_minor"],
            -1,
        ),
        tile("Members so far", f"{figures.members:,}", 0, 0),
    ]


def _sums(rows: Sequence[Any]) -> dict[str, int]:
    names = ("revenue_minor", "orders", "units", "refunded_minor")
    return {name: sum(getattr(row, name) for row in rows) for name in names}


def _shares(rows: Sequence[Any], nameless: str) -> list[Bar]:
    labels = Counter(row.label for row in rows)
    # The same shop or product name on two marketplaces needs the marketplace to be told apart.
    named = [
        (f"{row.label}, {row.source}" if labels[row.label] > 1 else row.label or nameless, row.revenue_minor)
        for row in rows
    ]
    return bars(named, MOST_BARS, "All others")


def _tiers(figures: ReportFigures) -> list[Bar]:
    def rank(row: Any) -> tuple[int, str]:
        place = TIER_ORDER.index(row.tier) if row.tier in TIER_ORDER else len(TIER_ORDER)
        return place, row.tier

    rows = [(row.tier, row.members) for row in sorted(figures.tiers, key=rank)]
    without = figures.members - sum(members for _tier, members in rows)
    if without > 0:
        rows.append(("no tier yet", without))
    return bars(rows, MOST_BARS, "All others")


def _stages(figures: ReportFigures) -> list[Bar]:
    members = {row.stage: row.members for row in figures.stages}
    order = [*STAGE_ORDER, *sorted(members.keys() - set(STAGE_ORDER))]
    return bars([(stage, members[stage]) for stage in order if stage in members], MOST_BARS, "All others")


def _campaign(figures: CampaignFigures) -> dict[str, Any]:
    return {
        "id": str(figures.activity_id),
        "state": figures.state,
        "starts_at": figures.plan.get("starts_at", "")[:10],
        "visits": figures.count("link.visited", "person"),
        "opened": figures.count("group.opened"),
        "paid": figures.count("group.joined"),
        "formed": figures.count("group.formed"),
        "expired": figures.count("group.expired"),
        "money": [
            {
                "revenue": money(row.revenue_minor, row.currency),
                "refunded": money(row.refunded_minor, row.currency),
            }
            for row in figures.sales
        ],
    }


def _ranges(figures: ReportFigures, span: int) -> list[dict[str, Any]]:
    """The links that choose another range, all of them ending on the same day."""
    whole = (figures.last - figures.oldest).days + 1
    choices = [(days, label) for days, label in RANGES if days < whole] + [(whole, "Everything")]
    return [
        {
            "label": label,
            "first": (figures.last - timedelta(days=days - 1)).isoformat(),
            "last": figures.last.isoformat(),
            "current": days == span,
        }
        for days, label in choices
    ]
