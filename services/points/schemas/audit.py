"""What an audit of the books answers."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

Check = Literal[
    "account_missing",
    "adjusted_points",
    "balance",
    "chain_broken",
    "chain_cut",
    "clawed_back_points",
    "earned_points",
    "entry_moves",
    "expired_points",
    "forfeited_points",
    "hash_missing",
    "held_points",
    "lot_date",
    "lot_expired",
    "lot_larger_than_entry",
    "lot_missing",
    "lot_moves",
    "lot_pins",
    "open_points",
    "pending_points",
    "pinned_points",
    "sequence",
    "sequence_gap",
    "spent_points",
    "transferred_points",
]


class FindingOut(BaseModel):
    """Two statements of the books that disagree."""

    check: Check = Field(description="What was compared.")
    member_id: UUID | None
    sequence: int | None = Field(description="The entry, if one is to blame.")
    lot_id: UUID | None = Field(description="The lot, if one is to blame.")
    expected: int | None = Field(description="What entries, moves or pins imply; a date in seconds.")
    found: int | None = Field(description="What the account, the lot or the entry says.")


class AuditSlice(BaseModel):
    """What a stretch of the books has shown. All that it compares is of one moment."""

    accounts: int = Field(description="Accounts that were compared.")
    entries: int = Field(description="Entries whose hashes were made again.")
    lots: int = Field(description="Lots that were compared with their moves.")
    members_points: int = Field(description="What the members of this stretch hold, by their accounts.")
    contra_points: dict[str, int] = Field(
        description="What each contra account holds by the same members' entries; with theirs it sums to 0."
    )
    findings: list[FindingOut] = Field(description="What disagrees; empty if all is well.")
    next_cursor: str | None = Field(None, description="Where the next stretch begins; null after the last.")
