"""Earning rules: the simple form, and rule sets. `docs/earning-rules.md` says what each part does."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.points.domain import MAX_ENTRY_POINTS
from services.points.domain.expiry import ExpiryPolicy, InvalidExpiryPolicy
from shared.clock import UnknownZone, zone
from shared.schemas import CurrencyCode, JsonObject, Moment, ShortText, StrictModel


def _positive(written: str) -> str:
    if Decimal(written) <= 0:
        raise ValueError("must be more than zero")
    return written


def _known_zone(name: str) -> str:
    try:
        zone(name)
    except UnknownZone as error:
        raise ValueError(str(error)) from error
    return name


def _known_policy(written: str) -> str:
    try:
        ExpiryPolicy.parse(written)
    except InvalidExpiryPolicy as error:
        raise ValueError(str(error)) from error
    return written


# Written as text, because a number with a fraction has been through binary floating point by the time it is
# read. Bounds that no program comes near keep the arithmetic exact and cheap.
Figure = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$", description="A decimal as text.", examples=["1.5"]),
]
PositiveFigure = Annotated[Figure, AfterValidator(_positive)]
RuleId = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Names the rule in entries and explanations."),
]
SomePoints = Annotated[int, Field(ge=0, le=MAX_ENTRY_POINTS, description="Whole points.")]
When = Annotated[
    JsonObject | None,
    Field(description="A condition on `order.*`, `line.*` and `member.*` facts; absent for always."),
]
MAX_RULES = 100


class RateIn(StrictModel):
    """Points for money."""

    points: SomePoints
    per_units: PositiveFigure = Field("1", description="For each so many units of the currency.")
    whole_units: bool = Field(True, description="Whether only whole multiples of `per_units` count.")


class BasisIn(StrictModel):
    """What of the order's money counts."""

    tax: bool = Field(True, description="Whether tax counts.")
    shipping: bool = Field(True, description="Whether postage counts.")
    discount: bool = Field(False, description="Whether what a discount took off counts still.")
    redeemed: bool = Field(False, description="Whether what points paid counts still.")


class MultiplierIn(StrictModel):
    """Makes points of money more or fewer; if the condition asks for a line, only those of its line."""

    id: RuleId
    factor: Figure | Literal["tier"] = Field(
        description="A decimal as text, or `tier` for what the member's tier brings.", examples=["2"]
    )
    when: When = None


class OrderBonusIn(StrictModel):
    """Points for an order as a whole."""

    id: RuleId
    points: SomePoints
    when: When = None


class LineBonusIn(StrictModel):
    """Points for each line, or each unit of it, that the condition is true of."""

    id: RuleId
    points: SomePoints
    per: Literal["line", "unit"] = "line"
    when: When = None


class CapIn(StrictModel):
    """At most so many points in an order, or in a day, week or month of the rule set's zone."""

    scope: Literal["member", "program"] = "member"
    per: Literal["order", "day", "week", "month"]
    points: SomePoints


class MaturityIn(StrictModel):
    """When points can be spent: so many days after the payment, or once the order is known as delivered."""

    after_days: int | None = Field(None, ge=1, le=3650)
    on: Literal["delivered"] | None = None


class ReferralIn(StrictModel):
    """Points for the member whose shared link brought another to a group, once the other has paid."""

    points: SomePoints
    first_only: bool = Field(True, description="Whether only the first referral of a member counts.")


class RuleSetTerms(StrictModel):
    """What a version of the earning rules says."""

    base: RateIn | None = Field(None, description="Points for money; absent for none.")
    by_currency: dict[CurrencyCode, RateIn] = Field(
        {}, max_length=200, description="Rates of their own for some currencies."
    )
    currency: CurrencyCode | None = Field(
        None, description="The program's currency. Without it every currency counts in its own units."
    )
    exchange_rates: dict[CurrencyCode, PositiveFigure] = Field(
        {}, max_length=200, description="What one unit of another currency is in the program's."
    )
    basis: BasisIn = BasisIn()
    rounding: Literal["floor", "ceiling", "half_up", "half_even"] = "floor"
    exclude: When = None
    multipliers: list[MultiplierIn] = Field([], max_length=MAX_RULES)
    combine: Literal["max", "product", "sum"] = "max"
    order_bonuses: list[OrderBonusIn] = Field([], max_length=MAX_RULES)
    line_bonuses: list[LineBonusIn] = Field([], max_length=MAX_RULES)
    caps: list[CapIn] = Field([], max_length=8)
    zone: Annotated[str, AfterValidator(_known_zone)] = Field("UTC", max_length=64)
    birthday_days: int = Field(1, ge=1, le=60, description="Days that a birthday counts, from its first.")
    expiry: Annotated[str, AfterValidator(_known_policy)] = Field(
        "rolling:365d", max_length=64, examples=["end_of:year:12m"]
    )
    matures: MaturityIn | None = None
    when_spent: Literal["debt", "pending", "forgive"] = Field(
        "debt", description="What becomes of points to be taken back that the member no longer has."
    )
    referral: ReferralIn | None = None


EXAMPLE: dict[str, Any] = {
    "name": "Autumn",
    "terms": {
        "base": {"points": 1, "per_units": "1"},
        "basis": {"shipping": False},
        "exclude": {"field": "line.category", "op": "eq", "value": "gift card"},
        "multipliers": [
            {"id": "gold", "factor": "2", "when": {"field": "member.tier", "op": "eq", "value": "gold"}},
            {"id": "live", "factor": "1.5", "when": {"field": "order.channel", "op": "eq", "value": "live"}},
        ],
        "combine": "max",
        "order_bonuses": [
            {
                "id": "welcome",
                "points": 50,
                "when": {"field": "member.first_order", "op": "eq", "value": True},
            }
        ],
        "caps": [{"per": "day", "points": 1000}],
        "zone": "America/Los_Angeles",
        "matures": {"after_days": 14},
    },
}


class RuleSetIn(StrictModel):
    """A draft of a new version of the earning rules."""

    name: ShortText | None = None
    terms: RuleSetTerms

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})


class ActivationIn(StrictModel):
    """When a draft takes effect."""

    model_config = ConfigDict(json_schema_extra={"example": {"effective_at": "2027-01-01T00:00:00Z"}})

    effective_at: Moment | None = Field(
        None, description="Orders paid from then on earn by it; absent for now."
    )


class EarningRuleIn(StrictModel):
    """A new version of the earning rules in the simple form."""

    model_config = ConfigDict(json_schema_extra={"example": {"points_per_unit": 1, "lot_lifetime_days": 365}})

    points_per_unit: int = Field(
        ge=0, le=1_000_000, description="Points for each whole unit of the order's currency.", examples=[1]
    )
    lot_lifetime_days: int | None = Field(
        365, ge=1, le=36_500, description="Days from the payment until the points expire; null for never."
    )
    effective_at: Moment | None = Field(
        None, description="Orders paid from then on earn by it; absent for now."
    )


class EarningRuleOut(BaseModel):
    """A version of the earning rules."""

    version: int
    status: Literal["draft", "active", "ended"]
    name: str | None
    points_per_unit: int | None = Field(description="In the simple form.")
    lot_lifetime_days: int | None = Field(description="In the simple form; null for never.")
    terms: dict[str, Any] | None = Field(description="The rule set, if it has one.")
    effective_at: datetime | None = Field(description="Absent in a draft.")
    ended_at: datetime | None = Field(description="When it was ended early.")
    created_by: str
    created_at: datetime
    activated_by: str | None
    activated_at: datetime | None


class EarningRules(BaseModel):
    """The earning rules: the version in force, all that are or were, and drafts."""

    current: EarningRuleOut
    versions: list[EarningRuleOut]
    drafts: list[EarningRuleOut]
