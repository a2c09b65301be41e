"""What several models of members mean by a name, a place and a person's details."""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.clock import UnknownZone, zone
from shared.schemas import PRINTABLE, Day

__all__ = [
    "MAX_ORDER_MINOR",
    "Amount",
    "Birthday",
    "Code",
    "CountryCode",
    "DisplayName",
    "Label",
    "Locale",
    "Quantity",
    "TimeZone",
]

# Far above any order, in any currency, and far enough below bigint for a member's lifetime to add up.
MAX_ORDER_MINOR = 10**15
MAX_UNITS = 10**9

Amount = Annotated[int, Field(ge=0, le=MAX_ORDER_MINOR, description="Amount in minor units of the currency.")]
Quantity = Annotated[int, Field(ge=1, le=MAX_UNITS, description="Units.")]
Code = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$", description="Short name of a vocabulary.")
]
Label = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE)]
CountryCode = Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code.")]
DisplayName = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
Locale = Annotated[
    str, Field(pattern="^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}$", description="BCP 47 language tag.")
]


@lru_cache(maxsize=1024)
def _known_zone(name: str) -> str:
    try:
        zone(name)
    except UnknownZone as error:
        raise ValueError("is not an IANA time zone") from error
    return name


def _birthday(day: date) -> date:
    if not date(1880, 1, 1) <= day <= datetime.now(UTC).date():
        raise ValueError("is not a plausible date of birth")
    return day


TimeZone = Annotated[
    str,
    Field(min_length=1, max_length=64, description="IANA time zone.", examples=["Asia/Shanghai"]),
    AfterValidator(_known_zone),
]
Birthday = Annotated[Day, AfterValidator(_birthday), Field(description="Date of birth, YYYY-MM-DD.")]
