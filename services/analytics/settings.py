"""What an operator can set for analytics, beside what every service has."""

from functools import lru_cache
from typing import Self

from pydantic import Field, model_validator

from shared.clock import zone
from shared.settings import ServiceSettings

__all__ = ["AnalyticsSettings", "settings"]


class AnalyticsSettings(ServiceSettings):
    """Settings of analytics; `REGULARS_ANALYTICS_<FIELD>` or `REGULARS_<FIELD>` in the environment."""

    service: str = "analytics"
    port: int = Field(8005, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")
    consumer_linger_seconds: float = Field(
        0.5,
        ge=0,
        le=5,
        description="Pause after a batch that was not full; a report may be this much behind.",
    )

    default_time_zone: str = Field(
        "UTC",
        description="IANA zone whose days the figures of a shop without a zone of its own, and those that "
        "belong to no shop, are counted in.",
    )
    shop_time_zones: dict[str, str] = Field(
        default_factory=dict,
        description="IANA zone by `<source>/<shop_id>`. A fact keeps the day it was given, so set it before "
        "the shop's first order.",
    )
    range_max_days: int = Field(
        1100, ge=1, le=36_600, description="Longest range of days in one answer: three years and a month."
    )
    csv_max_rows: int = Field(
        200_000, ge=1, description="Most rows in one CSV file; it is built in memory, about 200 bytes a row."
    )
    report_default_days: int = Field(
        365,
        ge=7,
        le=1100,
        description="Days on the report page unless the reader chooses: a year and its season.",
    )
    verify_recent_days: int = Field(
        3,
        ge=1,
        le=366,
        description="Days that the comparison looks back on; its cost grows with their facts.",
    )

    @model_validator(mode="after")
    def _zones_exist(self) -> Self:
        for name in (self.default_time_zone, *self.shop_time_zones.values()):
            zone(name)
        return self


@lru_cache
def settings() -> AnalyticsSettings:
    """Return the settings of this process, read from the environment once."""
    return AnalyticsSettings()
