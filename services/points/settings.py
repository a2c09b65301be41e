"""What an operator can set for points, beside what every service has."""

from functools import lru_cache

from pydantic import Field, field_validator

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

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        return zone(name).key


@lru_cache
def settings() -> PointsSettings:
    """Return the settings of this process, read once."""
    return PointsSettings()
