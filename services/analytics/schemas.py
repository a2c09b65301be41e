"""Answers of analytics. Money is in minor units; amounts of two currencies are never added."""

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "CampaignMoney",
    "CampaignOut",
    "CampaignPage",
    "DailySalesOut",
    "DailySalesPage",
    "EventBooks",
    "IngestDayOut",
    "IngestOut",
    "MemberOut",
    "PointsOut",
    "SummaryOut",
    "VerificationOut",
]


class Figures(BaseModel):
    """What every figure carries."""

    as_of: datetime = Field(description="Database time at which the figures were read.")
    revision: int = Field(description="Grows whenever anything behind the figures changes.")


class DailySalesOut(BaseModel):
    """Sales of one day, of one shop, channel or product if the answer is grouped."""

    day: date = Field(description="The shop's local day.")
    source: str | None = Field(None, description="Where the shop or product is; only if grouped by those.")
    shop_id: str | None = None
    channel: str | None = Field(None, description="Empty if the order named none.")
    product_id: str | None = Field(
        None, description="Empty for postage and whatever else belongs to no product."
    )
    title: str | None = Field(None, description="What the product was last sold as.")
    currency: str
    orders: int
    units: int
    revenue_minor: int = Field(description="What was paid on the day, refunds not taken off.")
    refunded_minor: int = Field(description="Accounting view: what went back on the day.")
    cohort_refunded_minor: int = Field(
        description="Cohort view: what went back, whenever, of the orders of the day."
    )
    revision: int
    updated_at: datetime


class DailySalesPage(Figures):
    """One page of daily sales."""

    model_config = ConfigDict(populate_by_name=True)

    from_: date = Field(alias="from")
    to: date
    group_by: str | None
    items: list[DailySalesOut]
    next_cursor: str | None = Field(None, description="Pass it as `cursor` for the next page.")


class MemberOut(Figures):
    """Recency, frequency and monetary value of one person, all of their ids together."""

    member_id: UUID = Field(description="The id that stands for the person after merges.")
    member_ids: list[UUID] = Field(description="Every id of the person.")
    joined_at: datetime | None
    tier: str | None
    stage: str = Field(description="The lifecycle stage.", examples=["stability"])
    first_order_at: datetime | None
    last_order_at: datetime | None
    recency_days: int | None = Field(description="Whole days since the last paid order.")
    frequency: int = Field(description="Paid orders.")
    units: int
    monetary_minor: dict[str, int] = Field(description="Revenue less refunds, by currency.")
    revenue_minor: dict[str, int]
    refunded_minor: dict[str, int]


class CampaignMoney(BaseModel):
    """Orders with a seat of the activity, in one currency."""

    currency: str
    orders: int
    units: int
    revenue_minor: int
    refunded_minor: int
    refund_requests: int
    requested_minor: int


class CampaignFunnel(BaseModel):
    """How many got how far."""

    links_shared: int
    visits: int = Field(description="Openings of the group page by people.")
    bot_visits: int
    groups_opened: int
    seats_paid: int = Field(description="Paid seats, the initiators' included.")
    followers: int = Field(description="Paid seats but the initiators'.")
    seats_lapsed: int
    groups_formed: int
    groups_expired: int
    refund_requests: int


class CampaignOut(Figures):
    """What an activity brought."""

    activity_id: UUID
    shop_id: str | None
    state: str = Field(description="unknown, scheduled, active, ended or cancelled.")
    starts_at: datetime | None
    ends_at: datetime | None
    group_size: int | None
    discount_percent: int | None
    buyers: int = Field(description="Different people who paid.")
    funnel: CampaignFunnel
    money: list[CampaignMoney]


class CampaignPage(BaseModel):
    """One page of activities, the latest first."""

    items: list[CampaignOut]
    next_cursor: str | None = None


class PointsOut(BaseModel):
    """All points that ever moved."""

    earned: int
    redeemed: int = Field(description="Spent on rewards.")
    captured: int = Field(description="Spent out of holds.")
    returned: int = Field(description="Spent points that went back, when what they bought came to nothing.")
    spent: int = Field(description="redeemed + captured - returned")
    expired: int
    clawed_back: int
    opened: int = Field(description="Brought along from other systems.")
    adjusted: int = Field(description="Given by hand, less what was taken.")
    forfeited: int


class EventBooks(BaseModel):
    """received = stored + duplicate + rejected."""

    received: int
    stored: int
    duplicate: int
    rejected: int


class SummaryOut(Figures):
    """Everything so far."""

    orders: int
    members: int
    revenue_minor: dict[str, int] = Field(description="What was paid, refunds not taken off, by currency.")
    refunded_minor: dict[str, int]
    refunds_waiting: int = Field(description="Refunds whose order has not arrived.")
    points: PointsOut
    tiers: dict[str, int] = Field(description="Members by the tier that they hold.")
    tier_changes: dict[str, int] = Field(
        description="How often a tier was upgraded, downgraded, prolonged, at risk and retained."
    )
    stages: dict[str, int] = Field(description="Members by the lifecycle stage that they are in.")
    stage_changes: dict[str, int] = Field(description="How often members came into each stage.")
    messages: dict[str, int] = Field(description="Messages by what became of them.")
    groups: dict[str, int] = Field(description="Groups opened, formed and expired.")
    events: EventBooks


class IngestDayOut(EventBooks):
    """What arrived from one source on one UTC day."""

    received_on: date
    source: str


class IngestOut(BaseModel):
    """The books of ingest."""

    as_of: datetime
    items: list[IngestDayOut]


class VerificationOut(BaseModel):
    """Rows by which summaries differ from what their facts add up to; all 0 is right."""

    as_of: datetime
    differing_rows: dict[str, int]
    consistent: bool
