"""Amounts as people and marketplaces write them: `$1,234.56`, `EUR 12,00`, `US $12.34`, `1.234,50 €`."""

import re
from collections.abc import Mapping
from functools import lru_cache

from shared.money import exponent, parse_decimal

__all__ = ["SYMBOLS", "amount_minor", "currency_in"]

# What marketplaces put beside their amounts. A sign that several currencies share, such as ¥ or kr, is not
# among them: the mapping says which one is meant.
SYMBOLS: Mapping[str, str] = {
    "$": "USD",
    "US $": "USD",
    "US$": "USD",
    "AU $": "AUD",
    "A$": "AUD",
    "C $": "CAD",
    "CA$": "CAD",
    "R$": "BRL",
    "£": "GBP",
    "€": "EUR",
    "zł": "PLN",
    "₩": "KRW",
    "₹": "INR",
    "₽": "RUB",
    "CN¥": "CNY",
    "CN￥": "CNY",
}

WRITTEN = re.compile(
    r"(?P<minus>[-−(]?)\s*(?P<before>[^\d\s.,+\-−()][^\d.,+\-−()]*?)?\s*(?P<sign>[-+−]?)\s*"
    r"(?P<number>\d[\d.,'’\s]*)\s*(?P<after>[^\d\s.,+\-()][^\d+\-()]*?)?\s*\)?"
)
SPACES = re.compile(r"[\s'’]")
CODE = re.compile(r"[A-Z]{3}")
THOUSANDS = re.compile(r"\d{1,3}([.,]\d{3})+")


def currency_in(text: str, symbols: Mapping[str, str]) -> str | None:
    """The ISO code of the currency that an amount names, None if it names none. Raises ValueError."""
    match = WRITTEN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no amount")
    words = [" ".join(word.split()) for word in (match["before"], match["after"]) if word]
    found = {
        symbols.get(word) or SYMBOLS.get(word) or (word if CODE.fullmatch(word) else None) for word in words
    }
    if None in found or len(found) > 1:
        raise ValueError(f"{text!r} names no currency that is known; add it to `symbols` in the mapping")
    return found.pop() if found else None


@lru_cache(65_536)
def amount_minor(text: str, currency: str, decimal: str) -> int:
    """The amount in minor units. `decimal` is the sign before the cents, or `auto`. Raises ValueError.

    With `auto` the last of several kinds of signs parts the cents; a sign that comes alone does if what
    follows are not three digits. Three digits after a lone sign could be either, and are refused.
    """
    match = WRITTEN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no amount")
    number = SPACES.sub("", match["number"])
    point = _decimal_sign(number, currency, text) if decimal == "auto" else decimal
    other = "," if point == "." else "."
    whole, _, cents = number.partition(point) if point else (number, "", "")
    if other in cents or point in cents or (other in whole and not THOUSANDS.fullmatch(whole)):
        raise ValueError(f"{text!r} is no amount with {point!r} before the cents")
    plain = whole.replace(other, "") if point else whole.replace(",", "").replace(".", "")
    negative = bool(match["minus"]) or match["sign"] in ("-", "−")
    return parse_decimal(
        f"{'-' if negative else ''}{plain}{'.' + cents if cents else ''}", currency
    ).amount_minor


def _decimal_sign(number: str, currency: str, text: str) -> str:
    last = max(number.rfind("."), number.rfind(","))
    if last < 0:
        return "."
    sign = number[last]
    if "." in number and "," in number:
        return sign
    if number.count(sign) > 1 or exponent(currency) == 0:
        if THOUSANDS.fullmatch(number):
            return "." if sign == "," else ","
        raise ValueError(f"{text!r} is no amount in {currency}")
    if len(number) - last - 1 == 3 and exponent(currency) != 3:
        raise ValueError(f"{text!r} could be thousands or cents: set `decimal` in the mapping")
    return sign
