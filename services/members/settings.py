"""What an operator can set for members, beside what every service has."""

from functools import lru_cache

from pydantic import Field, field_validator

from services.members.domain import LeapDay
from shared.clock import zone
from shared.settings import ServiceSettings

__all__ = ["MembersSettings", "settings"]


class MembersSettings(ServiceSettings):
    """Settings of members; `REGULARS_MEMBERS_<FIELD>` or `REGULARS_<FIELD>` in the environment."""

    service: str = "members"
    port: int = Field(8001, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")

    program_currency: str = Field(
        "USD",
        pattern="^[A-Z]{3}$",
        description="ISO 4217 code of the currency that tiers count spend in; orders in others count "
        "nothing, because an exchange rate would make a tier depend on the day it was judged.",
    )
    stage_history_hours: float = Field(
        24.0,
        gt=0,
        le=8760,
        description="Age in hours from which an order is history and no news: its member's stage is judged "
        "by the job once the rest of that history has had time to come.",
    )
    stage_settle_seconds: float = Field(
        900.0,
        ge=0,
        le=86_400,
        description="Seconds that history is given to come in whole before the stage is judged; an import of "
        "years in this time says one stage per member.",
    )
    contact_points_per_member: int = Field(
        20,
        ge=1,
        le=200,
        description="Addresses kept per member, beyond which intake keeps the order and leaves the address; "
        "a shared checkout account must not grow a profile without end.",
    )
    ids_per_person: int = Field(
        10,
        ge=2,
        le=100,
        description="Member ids that one person may have after merges; all are locked with each of them, and "
        "somebody who is many is more likely a shared account.",
    )
    tags_per_member: int = Field(
        200,
        ge=1,
        le=200,
        description="Tags per member at most; the profile snapshot that carries them holds no more.",
    )
    groups_per_member: int = Field(
        50,
        ge=1,
        le=200,
        description="Groups per member at most; the profile snapshot holds no more than 200.",
    )
    program_time_zone: str = Field(
        "UTC",
        description="IANA zone that the program's days are counted in, such as those of the windows and "
        "periods of tiers, and the days of whose zone is unknown.",
    )
    leap_day_birthday: LeapDay = Field(
        "02-28", description="Month and day on which who was born on 29 February celebrates in other years."
    )
    birthday_changes_per_year: int = Field(
        1,
        ge=0,
        le=366,
        description="How often within 365 days a member may say another birthday than before: a mistake can "
        "be mended, and moving the date for a second gift cannot become a habit.",
    )
    birthday_late_days: int = Field(
        7,
        ge=0,
        le=300,
        description="Days after the day itself for which a birthday is still said after an outage.",
    )
    attribute_schema_bytes: int = Field(
        65_536,
        ge=2,
        le=1_048_576,
        description="Size of the attribute schema; it is compiled for every batch.",
    )
    attributes_bytes: int = Field(
        16_384,
        ge=2,
        le=65_536,
        description="Size of one member's own attributes as JSON: every profile snapshot carries them.",
    )
    attribute_check_members: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="Members whose attributes a new schema is tried on before the answer; a hundred thousand "
        "take some seconds.",
    )
    rejudge_batch_members: int = Field(
        1000,
        ge=1,
        le=10_000,
        description="Members judged in one transaction after the tier table changed; all are locked in it.",
    )
    job_batch_rows: int = Field(
        1000, ge=1, le=10_000, description="Rows that a job works off in one transaction, to keep it short."
    )

    @field_validator("program_time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        zone(name)
        return name


@lru_cache
def settings() -> MembersSettings:
    """Return the settings of this process, read from the environment once."""
    return MembersSettings()
