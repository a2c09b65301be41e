"""Two members that are one person."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.members.schemas.vocabulary import Code
from shared.schemas import ExternalId, ShortText, StrictModel

__all__ = [
    "DismissalIn",
    "DismissalResult",
    "IdentityIn",
    "IdentityResult",
    "MergeIn",
    "MergeResult",
    "SuggestionOut",
]


class MergeIn(StrictModel):
    """Two members that are one person, or are no longer taken for one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "surviving_id": "0197b1c8-0000-7000-8000-000000000001",
                "merged_id": "0197b1c8-0000-7000-8000-000000000002",
                "reason": "the same telephone number, asked on 3 March",
            }
        }
    )

    surviving_id: UUID = Field(description="The member that stays.")
    merged_id: UUID = Field(description="The member that is an alias of it.")
    actor: ShortText | None = Field(None, description="Who decided it; the caller's key if left out.")
    reason: ShortText | None = None


class MergeResult(BaseModel):
    """What became of a merge or an unmerge; `person_id` is who the merged member is now."""

    status: Literal["accepted", "unchanged"]
    surviving_id: UUID
    merged_id: UUID
    person_id: UUID


class IdentityIn(StrictModel):
    """A further name under which a source knows a member."""

    member_id: UUID
    source: Code
    external_id: ExternalId


class IdentityResult(BaseModel):
    """What became of a name; `member_id` is the person whose it is."""

    status: Literal["accepted", "unchanged"]
    member_id: UUID
    source: str
    external_id: str


class SuggestionOut(BaseModel):
    """Two members who both proved an address of one channel theirs."""

    member_id: UUID
    other_id: UUID
    channel: str
    suggested_at: datetime


class DismissalIn(StrictModel):
    """Two members who are two people, whatever they share."""

    member_id: UUID
    other_id: UUID
    actor: ShortText | None = Field(None, description="Who decided it; the caller's key if left out.")


class DismissalResult(BaseModel):
    """What became of a dismissal."""

    status: Literal["accepted", "unchanged"]
    member_id: UUID
    other_id: UUID
