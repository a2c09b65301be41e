"""Money, defined once: a whole number of minor units and an ISO 4217 currency.

Nothing here rounds behind the caller's back. What does not fit exactly is refused, and what has to be split
is split by `allocate`, which loses nothing. Amounts stay within PostgreSQL's bigint, because every amount
ends in such a column, and a sum that leaves it raises here instead of there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = [
    "MAX_AMOUNT_MINOR",
    "MIN_AMOUNT_MINOR",
    "AmountOutOfRange",
    "CurrencyMismatch",
    "InexactAmount",
    "Money",
    "MoneyError",
    "UnknownCurrency",
    "allocate",
    "checked_minor",
    "decimal_text",
    "exponent",
    "is_currency",
    "parse_decimal",
    "whole_units",
]

MIN_AMOUNT_MINOR: Final = -(2**63)
MAX_AMOUNT_MINOR: Final = 2**63 - 1

# ISO 4217 list one (SIX Group, amendments up to 2026-01-01, when BGN gave way to EUR): active codes by the
# number of decimal places of their minor unit. Codes without a minor unit (XAU, XDR, XTS, XXX, …) cannot hold
# an amount in minor units, so they are no currencies here.
_CODES_BY_EXPONENT: Final[dict[int, str]] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD
        CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
        GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD
        LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB
        PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP
        SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW
        ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS: Final[dict[str, int]] = {
    code: places for places, codes in _CODES_BY_EXPONENT.items() for code in codes.split()
}

# A plain decimal in ASCII digits: no thousands separators, no exponents, no spaces, no NaN. The bound on the
# length keeps a hostile string from becoming an integer of a million digits.
_DECIMAL: Final = re.compile(r"([+-]?)([0-9]{1,32})(?:\.([0-9]{1,32}))?")


class MoneyError(ValueError):
    """The amount or the currency is not acceptable."""


class UnknownCurrency(MoneyError):
    """The currency is not an active ISO 4217 code with a minor unit."""


class CurrencyMismatch(MoneyError):
    """Two amounts in different currencies cannot be added or compared."""


class AmountOutOfRange(MoneyError):
    """The amount does not fit into 64 bits of minor units."""


class InexactAmount(MoneyError):
    """The text is not a plain decimal with at most the currency's decimal places."""


def is_currency(code: str) -> bool:
    """Whether `code` is an active ISO 4217 code that has a minor unit; codes are upper case."""
    return code in _EXPONENTS


def exponent(currency: str) -> int:
    """Decimal places of the currency's minor unit (ISO 4217): 2 for USD, 0 for JPY, 3 for KWD, 4 for CLF."""
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrency(f"{currency!r} is not an active ISO 4217 currency") from None


def checked_minor(amount_minor: int) -> int:
    """`amount_minor` itself if it fits PostgreSQL's bigint; raises `AmountOutOfRange` otherwise."""
    if not MIN_AMOUNT_MINOR <= amount_minor <= MAX_AMOUNT_MINOR:
        raise AmountOutOfRange(f"{amount_minor} minor units do not fit into 64 bits")
    return amount_minor


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents for USD) of one currency."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        # A bool is an int to Python and a float may hold a whole number; neither is an amount.
        if type(self.amount_minor) is not int:
            raise MoneyError(f"an amount is a whole number of minor units, not {self.amount_minor!r}")
        exponent(self.currency)
        checked_minor(self.amount_minor)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount_minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount_minor - self._same(other), self.currency)

    def __mul__(self, quantity: int) -> "Money":
        if type(quantity) is not int:
            raise MoneyError("money is multiplied by whole quantities; to split it, use allocate()")
        return Money(self.amount_minor * quantity, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> "Money":
        return Money(-self.amount_minor, self.currency)

    def __bool__(self) -> bool:
        return self.amount_minor != 0

    def __lt__(self, other: "Money") -> bool:
        return self.amount_minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.amount_minor <= self._same(other)

    def __gt__(self, other: "Money") -> bool:
        return self.amount_minor > self._same(other)

    def __ge__(self, other: "Money") -> bool:
        return self.amount_minor >= self._same(other)

    def __str__(self) -> str:
        return f"{decimal_text(self.amount_minor, self.currency)} {self.currency}"

    def allocate(self, weights: Sequence[int]) -> "list[Money]":
        """This amount in shares proportional to `weights`; see the function `allocate`."""
        return [Money(share, self.currency) for share in allocate(self.amount_minor, weights)]

    def _same(self, other: "Money") -> int:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} cannot be combined")
        return other.amount_minor


def parse_decimal(text: str, currency: str) -> Money:
    """The exact amount written as a plain decimal in major units: ("12.34", "USD") is 1,234 cents.

    More places than the currency has are refused unless they are zeros; nothing is ever rounded.
    """
    places = exponent(currency)
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InexactAmount(f"{text[:40]!r} is not a plain decimal number")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if fraction[places:].strip("0"):
        raise InexactAmount(f"{text!r} has more than the {places} decimal places of {currency}")
    amount_minor = int(whole + fraction[:places].ljust(places, "0"))
    return Money(-amount_minor if sign == "-" else amount_minor, currency)


def decimal_text(amount_minor: int, currency: str) -> str:
    """The amount as a plain decimal in major units, the inverse of `parse_decimal`: 1234 USD is "12.34"."""
    places = exponent(currency)
    if places == 0:
        return str(amount_minor)
    whole, fraction = divmod(abs(amount_minor), 10**places)
    return f"{'-' if amount_minor < 0 else ''}{whole}.{fraction:0{places}d}"


def whole_units(amount_minor: int, currency: str) -> int:
    """Whole major units in the amount, the rest cut off: 1,999 cents are 19 dollars, 500 JPY are 500 yen.

    A negative amount is cut towards zero too, so that what a refund takes is what the same payment gave.
    """
    whole = abs(amount_minor) // int(10 ** exponent(currency))
    return -whole if amount_minor < 0 else whole


def allocate(total_minor: int, weights: Sequence[int]) -> list[int]:
    """Split `total_minor` into integer shares proportional to `weights` that add up to it exactly.

    The largest-remainder method (Hamilton, 1792): each share is the exact quota cut off, and the units left
    over go to the largest remainders, the earlier one first when two are equal. Every share is within one
    minor unit of its exact quota, and a zero weight never receives anything. Negative totals mirror positive
    ones. Raises `MoneyError` if a weight is negative, or if nothing weighs and there is something to split.
    """
    checked_minor(total_minor)
    if any(weight < 0 for weight in weights):
        raise MoneyError("weights are never negative")
    weight_sum = sum(weights)
    if weight_sum == 0:
        if total_minor == 0:
            return [0] * len(weights)
        raise MoneyError("an amount cannot be split by weights that add up to zero")
    sign, total = (-1, -total_minor) if total_minor < 0 else (1, total_minor)
    quotas = [divmod(total * weight, weight_sum) for weight in weights]
    shares = [quota for quota, _ in quotas]
    by_remainder = sorted(range(len(weights)), key=lambda index: -quotas[index][1])
    for index in by_remainder[: total - sum(shares)]:
        shares[index] += 1
    return [sign * share for share in shares]
