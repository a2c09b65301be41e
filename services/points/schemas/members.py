"""A member's points, and the whole ledger's."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field


class Expiration(BaseModel):
    """Points that expire together."""

    expires_at: datetime
    points: int


class Maturity(BaseModel):
    """Points that can be spent from a moment on."""

    matures_at: datetime | None = Field(description="Null if they wait for their order to be settled.")
    points: int


class Lifetime(BaseModel):
    """What has happened to the member's points so far, and to those of members merged into them."""

    earned: int
    spent: int
    expired: int
    clawed_back: int
    adjusted: int = Field(description="Set right by hand, opened with or forgiven; may be negative.")
    transferred: int = Field(description="From other members, less what went to them.")
    forfeited: int


class PointsShown(BaseModel):
    """A member's points, judged now."""

    member_id: UUID
    account_id: UUID = Field(
        description="Whose account it is: another member's if this one is merged into them."
    )
    available_points: int = Field(description="What can be spent now; never counts points past their date.")
    pending_points: int = Field(description="Earned, but not to be spent yet.")
    held_points: int = Field(description="Promised to a purchase that is under way.")
    debt_points: int = Field(description="Taken back after they were spent; the next earnings repay it.")
    lifetime: Lifetime
    expirations: list[Expiration] = Field(
        description="All dates on which points expire, held and pending ones too, the soonest first."
    )
    maturities: list[Maturity] = Field(description="When pending points can be spent, the soonest first.")


class EntryOut(BaseModel):
    """One entry of a member's account."""

    entry_id: UUID
    sequence: int = Field(description="Counts the entries of the account from 1, without gaps.")
    kind: Literal[
        "earn",
        "opening",
        "claw_back",
        "redeem",
        "expire",
        "reverse",
        "adjust",
        "transfer_in",
        "transfer_out",
        "merge_in",
        "merge_out",
        "forfeit",
        "repay",
    ]
    contra: str = Field(description="The account on the other side of the transfer.")
    points: int = Field(description="What the member got; negative if they gave.")
    about_id: UUID = Field(
        description="What it is about: an order, redemption, hold, transfer or adjustment; for a reversal, "
        "the entry that it reverses."
    )
    order_id: UUID | None = Field(description="The order that earned it or was refunded.")
    refund_id: str | None = Field(description="The refund that took it back.")
    redemption_id: UUID | None
    rule_version: int | None
    basis_minor: int | None = Field(description="The amount that the points were reckoned from.")
    currency: str | None
    actor: str
    reason: str
    occurred_at: datetime
    recorded_at: datetime


class Summary(BaseModel):
    """The ledger as a whole, with the figures that prove that it adds up."""

    earned_points: int
    expired_points: int
    spent_points: int
    clawed_back_points: int
    available_points: int
    pending_points: int
    held_points: int
    debt_points: int
    accounts: int
    lots_open: int
    entries: int
    redemptions: int
    parked_refunds: int = Field(description="Refunds that wait for their order to be paid.")
    due_lots: int = Field(description="Lots past their date that the expiry job has not reached yet.")
    entries_sum: int = Field(
        description="Members' balances plus contra balances: zero, or points came from nowhere."
    )
    lot_mismatches: int = Field(
        description="Accounts and lots that disagree with the entries and moves about them: zero."
    )
