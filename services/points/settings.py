"""What an operator can set for points, beside what every service has."""

from decimal import Decimal
from functools import lru_cache
from typing import Annotated

from pydantic import Field, field_validator

from services.points.domain import ExpiryPolicy
from shared.clock import zone
from shared.settings import ServiceSettings


class PointsSettings(ServiceSettings):
    """Settings of the points service."""

    service: str = "points"
    port: int = Field(8002, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    consumer_linger_seconds: float = Field(
        0.005,
        ge=0,
        le=5,
        description="Pause after a batch that was not full; short, because a buyer looks at the balance.",
    )
    expiry_chunk_accounts: int = Field(
        2000,
        ge=1,
        le=20_000,
        description="Accounts whose due lots expire in one transaction; their members wait for it when they "
        "redeem, so it should stay within some hundred milliseconds.",
    )
    expiry_lanes: int = Field(
        2,
        ge=1,
        le=8,
        description="Such transactions side by side, each on accounts of its own: nearly all the work is the "
        "database's, where a connection has one processor at most.",
    )
    reversal_grace_days: int = Field(
        0,
        ge=0,
        le=3650,
        description="Days that returned points live at least if their date has passed meanwhile; with 0 they "
        "come back and expire at once.",
    )
    hold_minutes: int = Field(
        30,
        ge=1,
        le=43_200,
        description="How long points are held unless the hold says otherwise: longer than a checkout.",
    )
    zone: str = Field(
        "UTC",
        description="IANA time zone of the program: its days, months and years decide when points expire.",
    )

    audit_slice_accounts: int = Field(
        500,
        ge=1,
        le=5_000,
        description="Accounts, and lots, that the audit compares every ten seconds; a million accounts take "
        "half a day with some percent of a core.",
    )
    point_values_minor: dict[str, Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=9)]] = Field(
        {},
        description="What one point is worth, in minor units by currency, for the liability: "
        '`{"USD": "0.8"}` is 0.8 cents.',
    )
    adjustment_limit_points: int = Field(
        10_000,
        ge=0,
        description="Points that one key may move by hand for one member within a day; more waits for "
        "another key. 0 lets everything wait.",
    )
    adjustment_lapse_hours: int = Field(
        168, ge=1, le=8_760, description="Hours after which a proposal that nobody decided lapses."
    )
    adjustment_expiry: str = Field(
        "rolling:365d",
        description="When points given by hand expire unless the request says, as a policy: `none`, "
        "`rolling:12m:day_end`, `end_of:year`, `fixed:2027-12-31`.",
    )

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        return zone(name).key

    @field_validator("adjustment_expiry")
    @classmethod
    def _is_a_policy(cls, written: str) -> str:
        return ExpiryPolicy.parse(written).serialise()

    back_test_accounts: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Accounts whose orders a back-test judges in one go; all else in the process waits for "
        "it, so it should stay within some hundred milliseconds.",
    )


@lru_cache
def settings() -> PointsSettings:
    """Return the settings of this process, read once."""
    return PointsSettings()
