"""What an operator can set for members, beside what every service has."""

from functools import lru_cache

from pydantic import Field

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
    rejudge_batch_members: int = Field(
        1000,
        ge=1,
        le=10_000,
        description="Members judged in one transaction after the tier table changed; all are locked in it.",
    )
    job_batch_rows: int = Field(
        1000, ge=1, le=10_000, description="Rows that a job works off in one transaction, to keep it short."
    )


@lru_cache
def settings() -> MembersSettings:
    """Return the settings of this process, read from the environment once."""
    return MembersSettings()
