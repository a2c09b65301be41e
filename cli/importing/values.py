"""Reading the text of one cell as what it means."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as wall_time
from functools import lru_cache
from typing import Any

from cli.importing.amounts import amount_minor, currency_in
from cli.importing.times import local_reader
from shared.clock import local_to_instant, zone
from shared.money import parse_decimal

__all__ = ["READERS", "Context", "CurrencyUnclear", "RowRefused", "fill_template", "template_columns"]

COLUMN = re.compile(r"\{([^{}]+)\}")
INTEGER = re.compile(r"[+-]?\d{1,18}")
YES = frozenset({"true", "yes", "y", "1"})
NO = frozenset({"false", "no", "n", "0"})

# Files repeat their dates and prices; each distinct one is read once.
REMEMBERED = 65_536

Parse = Callable[[str, Sequence[str], int], Any]


class CurrencyUnclear(ValueError):
    """What currency an amount is in cannot be told; said of the row once, and not for each of its amounts."""


class RowRefused(Exception):
    """A row that cannot become an order, with every reason that was found."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(dict.fromkeys(reasons)))
        self.reasons = reasons


@dataclass(frozen=True)
class Context:
    """What reading a cell may need beside its text."""

    index: dict[str, int]
    currency: Callable[[Sequence[str], int], Any] | None
    shift: timedelta

    def currency_of(self, row: Sequence[str], number: int) -> str:
        """The row's currency. Raises ValueError if it has none."""
        try:
            currency = self.currency(row, number) if self.currency is not None else None
        except ValueError as error:
            raise CurrencyUnclear(*error.args) from error
        if not currency:
            raise ValueError("an amount without a currency")
        return str(currency)


def template_columns(template: str) -> set[str]:
    """The columns that a template names in braces."""
    return set(COLUMN.findall(template))


def fill_template(template: str, context: Context) -> Callable[[Sequence[str], int], Any]:
    """A function that puts a row's cells into a template; empty if one of them is."""
    pieces = COLUMN.split(template)
    texts, positions = pieces[::2], [context.index[name] for name in pieces[1::2]]

    def fill(row: Sequence[str], number: int) -> Any:
        cells = [row[position].strip() for position in positions]
        if not all(cells):
            return None
        return texts[0] + "".join(cell + text for cell, text in zip(cells, texts[1:], strict=True))

    return fill


def _text(source: dict[str, Any], context: Context) -> Parse:
    return lambda text, row, number: text


def _integer(source: dict[str, Any], context: Context) -> Parse:
    def parse(text: str, row: Sequence[str], number: int) -> int:
        if not INTEGER.fullmatch(text):
            raise ValueError(f"{text!r} is not a whole number")
        return int(text)

    return parse


def _boolean(source: dict[str, Any], context: Context) -> Parse:
    def parse(text: str, row: Sequence[str], number: int) -> bool:
        if text.lower() not in YES | NO:
            raise ValueError(f"{text!r} is neither yes nor no")
        return text.lower() in YES

    return parse


@lru_cache(REMEMBERED)
def _minor(text: str, currency: str) -> int:
    return parse_decimal(text, currency).amount_minor


def _money(source: dict[str, Any], context: Context) -> Parse:
    return lambda text, row, number: _minor(text, context.currency_of(row, number))


def _price(source: dict[str, Any], context: Context) -> Parse:
    symbols, decimal = source.get("symbols", {}), source.get("decimal", "auto")

    def parse(text: str, row: Sequence[str], number: int) -> int:
        currency = context.currency_of(row, number)
        named = currency_in(text, symbols)
        if named not in (None, currency):
            raise ValueError(f"{text!r} is in {named}, the order in {currency}")
        return amount_minor(text, currency, decimal)

    return parse


def _currency(source: dict[str, Any], context: Context) -> Parse:
    symbols = source.get("symbols", {})
    return lambda text, row, number: currency_in(text, symbols)


def _words(source: dict[str, Any], context: Context) -> Parse:
    known = {word.casefold(): meaning for word, meaning in source.get("words", {}).items()}
    return lambda text, row, number: known.get(text.casefold())


def _parts_of_total(
    source: dict[str, Any], context: Context
) -> Callable[[str, Sequence[str], int], tuple[int, int]]:
    position = context.index[source["quantity"]]
    # What comes on top of the column's total, such as tax, and what is taken off it apart.
    more = [context.index[column] for column in source.get("plus", ()) if column in context.index]

    def amount(text: str, row: Sequence[str], number: int) -> int:
        return _minor(text, context.currency_of(row, number))

    def parts(text: str, row: Sequence[str], number: int) -> tuple[int, int]:
        """(price of a unit rounded up, what that is too much in all), both in minor units."""
        total = amount(text, row, number)
        total += sum(amount(cell, row, number) for position in more if (cell := row[position].strip()))
        quantity = row[position].strip()
        if not INTEGER.fullmatch(quantity) or int(quantity) <= 0:
            raise ValueError(f"a total for {quantity!r} pieces")
        unit = -(-total // int(quantity))
        return unit, unit * int(quantity) - total

    return parts


def _share_of_total(source: dict[str, Any], context: Context) -> Parse:
    parts = _parts_of_total(source, context)
    return lambda text, row, number: parts(text, row, number)[0]


def _rest_of_total(source: dict[str, Any], context: Context) -> Parse:
    parts = _parts_of_total(source, context)
    off = [context.index[column] for column in source.get("minus", ()) if column in context.index]

    def parse(text: str, row: Sequence[str], number: int) -> int:
        currency = context.currency_of(row, number)
        # Some exports write what is taken off with a minus, some without.
        taken = sum(abs(_minor(cell, currency)) for position in off if (cell := row[position].strip()))
        return parts(text, row, number)[1] + taken

    return parse


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _instant(source: dict[str, Any], context: Context) -> Parse:
    @lru_cache(REMEMBERED)
    def read(text: str) -> str:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is not an instant like 2026-03-01T12:00:00Z") from error
        if instant.tzinfo is None:
            raise ValueError(f"{text!r} says no zone; write 2026-03-01T12:00:00Z or +02:00")
        return _rfc3339(instant + context.shift)

    return lambda text, row, number: read(text)


def _date(source: dict[str, Any], context: Context) -> Parse:
    layout = source.get("format", "%Y-%m-%d")
    at = wall_time.fromisoformat(source.get("time", "12:00"))
    where = zone(source.get("zone", "UTC"))

    @lru_cache(REMEMBERED)
    def read(text: str) -> str:
        try:
            day: date = datetime.strptime(text, layout).date()  # noqa: DTZ007 - a calendar day has no zone
        except ValueError as error:
            raise ValueError(f"{text!r} is not a date like {date(2026, 3, 1).strftime(layout)}") from error
        instant = local_to_instant(datetime.combine(day + context.shift, at), where, None)
        return _rfc3339(instant)

    return lambda text, row, number: read(text)


def _local(source: dict[str, Any], context: Context) -> Parse:
    read = local_reader(
        source.get("formats") or [source.get("format", "%Y-%m-%d %H:%M:%S")],
        zone(source.get("zone", "UTC")),
        at=wall_time.fromisoformat(source.get("time", "12:00")),
        abbreviations=source.get("abbreviations", {}),
        ambiguous=source.get("ambiguous", "earlier"),
        nonexistent=source.get("nonexistent", "forward"),
        shift=context.shift,
    )
    return lambda text, row, number: _rfc3339(read(text))


READERS: dict[str, Callable[[dict[str, Any], Context], Parse]] = {
    "text": _text,
    "integer": _integer,
    "boolean": _boolean,
    "money": _money,
    "price": _price,
    "currency": _currency,
    "words": _words,
    "local": _local,
    "instant": _instant,
    "date": _date,
    "share_of_total": _share_of_total,
    "rest_of_total": _rest_of_total,
}
