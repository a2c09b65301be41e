"""Building blocks of request and response models: what every service means by an amount, an id or an instant.

A `StrictModel` refuses what the rest of the platform could not hold: unknown fields, numbers in quotes,
integers beyond PostgreSQL's bigint, NaN, and text with NUL characters or lone surrogates.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    Strict,
    WrapValidator,
)
from pydantic import ValidationError as PydanticError
from pydantic_core import CoreSchema

from shared.money import is_currency
from shared.problems import InvalidItem, error_members

__all__ = [
    "MAX_BIGINT",
    "NO_NUL",
    "CurrencyCode",
    "Day",
    "ExternalId",
    "Instant",
    "JsonObject",
    "MinorUnits",
    "Moment",
    "OrRefusal",
    "Points",
    "Reason",
    "ShortText",
    "StrictModel",
    "validate_items",
]

MIN_BIGINT: Final = -(2**63)
MAX_BIGINT: Final = 2**63 - 1
NO_NUL: Final = r"^[^\x00]*$"
# With something to see in it: many exports know customers by blanks alone, who would all be one person.
PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Clocks of storefronts run ahead, and a day covers a local time that was sent as UTC.
FUTURE_TOLERANCE: Final = timedelta(days=1)
MAX_JSON_DEPTH: Final = 20

M = TypeVar("M", bound=BaseModel)

# Parts of a pydantic core schema that hold values rather than schemas.
_VALUE_PARTS: Final = frozenset({"default", "metadata", "config", "expected", "cls", "serialization", "ref"})


def _harden(node: Any) -> None:
    """Narrows every plain `str`, `int` and `bool` of a core schema to what the platform can hold.

    Done to the schema and not by a validator in Python, so that a batch of a thousand items pays nothing and
    the JSON schema says it too.
    """
    if isinstance(node, list | tuple):
        for part in node:
            _harden(part)
        return
    if not isinstance(node, dict):
        return
    match node.get("type"):
        case "str":
            node.setdefault("pattern", NO_NUL)
        case "int":
            node["strict"] = True
            if "ge" not in node and "gt" not in node:
                node["ge"] = MIN_BIGINT
            if "le" not in node and "lt" not in node:
                node["le"] = MAX_BIGINT
        case "bool":
            node["strict"] = True
    for name, part in node.items():
        if name == "fields" and isinstance(part, dict):
            # The keys are names of fields here, and one may well be called `default`.
            _harden(list(part.values()))
        elif name not in _VALUE_PARTS:
            _harden(part)


class StrictModel(BaseModel):
    """Base of models that read a request body. (Query strings hold only text: no use for those.)"""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_max_length=100_000)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _harden(schema)
        return schema


def _known_currency(code: str) -> str:
    if not is_currency(code):
        raise ValueError("is not an ISO 4217 currency")
    return code


def _written_out(value: Any) -> Any:
    # pydantic would also read a number, and guess from its size whether it counts seconds or milliseconds.
    if isinstance(value, datetime) or (isinstance(value, str) and "T" in value.upper()):
        return value
    raise ValueError("is not an RFC 3339 date and time")


def _day_written_out(value: Any) -> Any:
    # For the same reason: "0" would be read as 1 January 1970.
    if isinstance(value, date) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise ValueError("is not a date as YYYY-MM-DD")


def _plausible(instant: datetime) -> datetime:
    # Compared before it is converted: the conversion overflows at either end of the calendar.
    if instant < EARLIEST:
        raise ValueError("lies before 1970")
    if instant > datetime.now(UTC) + FUTURE_TOLERANCE:
        raise ValueError("lies more than a day in the future")
    return instant.astimezone(UTC)


def _holdable(value: Any, depth: int = 0) -> Any:
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("holds a NUL character or a lone surrogate")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("holds a number that is not finite")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _holdable(name, depth + 1)
            _holdable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _holdable(inner, depth + 1)
    return value


MinorUnits = Annotated[
    int, Strict(), Field(ge=0, le=MAX_BIGINT, description="Amount in minor units of its currency.")
]
Points = Annotated[int, Strict(), Field(ge=0, le=MAX_BIGINT, description="Whole points.")]
CurrencyCode = Annotated[
    str,
    Field(pattern="^[A-Z]{3}$", description="ISO 4217 code.", examples=["USD"]),
    AfterValidator(_known_currency),
]
ExternalId = Annotated[
    str, Field(min_length=1, max_length=200, pattern=PRINTABLE, description="Id in the system it comes from.")
]
ShortText = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]
Reason = Annotated[
    str,
    # Blanks alone tell nobody why.
    Field(min_length=1, max_length=200, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$"),
]
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    AfterValidator(_plausible),
    Field(description="RFC 3339 with an offset, 1970 to a day from now.", examples=["2026-03-01T12:00:00Z"]),
]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    Field(description="RFC 3339 with an offset; it may lie ahead.", examples=["2026-12-01T00:00:00Z"]),
]
Day = Annotated[date, BeforeValidator(_day_written_out), Field(examples=["2026-03-01"])]
JsonObject = Annotated[dict[str, Any], AfterValidator(_holdable)]


def _refusal_instead(value: Any, validate: Callable[[Any], Any]) -> Any:
    try:
        return validate(value)
    except PydanticError as error:
        return _refused_item(error)


# Marks the items of a batch: `items: list[Annotated[OrderIn, OrRefusal]]` holds an InvalidItem where an item
# is bad, so that it does not fail its neighbours, and the JSON schema shows OrderIn.
OrRefusal: Final = WrapValidator(_refusal_instead)


def validate_items(model: type[M], raw_items: Sequence[Any]) -> list[M | InvalidItem]:
    """Each raw item as a `model`, or as the refusal that says what is wrong with it; order is kept."""
    return [_refusal_instead(item, model.model_validate) for item in raw_items]


def _refused_item(error: PydanticError) -> InvalidItem:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    return InvalidItem(**error_members(errors, place="body"))
