"""What an operator can set about campaigns, each with its unit and reason."""

from functools import lru_cache

from pydantic import Field

from shared.settings import ServiceSettings


class CampaignsSettings(ServiceSettings):
    """Settings of campaigns; REGULARS_CAMPAIGNS_<FIELD> goes before REGULARS_<FIELD>."""

    service: str = "campaigns"
    port: int = Field(8003, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")

    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+(/[^\s]*)?$",
        description="Address at which buyers reach this service, for links and QR codes; without it the "
        "address of the request is used, which a proxy may hide.",
    )
    hold_seconds: int = Field(
        600,
        ge=1,
        le=3600,
        description="How long a seat waits for its payment; long enough for a bank's second factor, short "
        "enough that nobody blocks a group.",
    )
    payment_notice_seconds: int = Field(
        10,
        ge=0,
        le=3600,
        description="How long after a hold or deadline has ended a payment made in time may still be "
        "reported, before the seat is given back; longer than payments take to travel over the bus.",
    )
    clock_skew_seconds: int = Field(
        300,
        ge=0,
        le=3600,
        description="How far a payment provider's clock may be behind ours: a payment dated before its hold "
        "by more than this was not made for it.",
    )
    parked_reward_hours: int = Field(
        24,
        ge=1,
        le=8760,
        description="How long a coupon that was paid for with points waits for its promotion to be defined; "
        "then it is declined and the points go back. A day is long enough to mend a mistyped reference.",
    )
    deadline_chunk_groups: int = Field(
        1000,
        ge=1,
        le=10_000,
        description="Most groups decided in one transaction; more would hold their locks for too long.",
    )
    lapse_chunk_seats: int = Field(
        1000, ge=1, le=10_000, description="Most seats given back in one transaction, for the same reason."
    )
    activity_chunk: int = Field(
        100, ge=1, le=1000, description="Most activities announced as ended in one transaction."
    )


@lru_cache
def settings() -> CampaignsSettings:
    """Return the settings of this process, read once from its environment."""
    return CampaignsSettings()
