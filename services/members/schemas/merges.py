"""Two members that are one person."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.members.schemas.orders import MAX_ADDRESS_CHARACTERS, ContactPointIn
from services.members.schemas.vocabulary import Code
from shared.schemas import ExternalId, ShortText, StrictModel

__all__ = [
    "AddressIn",
    "AddressResult",
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

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "0197b1c8-0000-7000-8000-000000000001",
                "source": "amazon",
                "external_id": "A2X7",
            }
        }
    )

    member_id: UUID
    source: Code
    external_id: ExternalId


class IdentityResult(BaseModel):
    """What became of a name; `member_id` is the person whose it is."""

    status: Literal["accepted", "unchanged"]
    member_id: UUID
    source: str
    external_id: str


class AddressIn(StrictModel):
    """An address of a member, who is named by `member_id`, or by `source` and `external_id`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "0197b1c8-0000-7000-8000-000000000001",
                "channel": "sms",
                "address": "+14155550123",
                "verified": True,
            }
        }
    )

    member_id: UUID | None = None
    source: Code | None = None
    external_id: ExternalId | None = None
    channel: Code
    address: Annotated[
        str, Field(min_length=3, max_length=MAX_ADDRESS_CHARACTERS, pattern=r"^[^\s\x00-\x1f]+$")
    ]
    verified: bool = Field(False, description="Whether the member proved it; only then it tells who it is.")

    @model_validator(mode="after")
    def _says_whose_it_is(self) -> "AddressIn":
        by_name = self.source is not None and self.external_id is not None
        if by_name == (self.member_id is not None) or (self.source is None) != (self.external_id is None):
            raise ValueError("name the member by member_id, or by source and external_id")
        point = ContactPointIn(channel=self.channel, address=self.address)
        self.address = point.written
        return self


class AddressResult(BaseModel):
    """Whose address it is."""

    status: Literal["accepted"]
    member_id: UUID
    channel: str
    address: str


class SuggestionOut(BaseModel):
    """Two members who both proved an address of one channel theirs."""

    member_id: UUID
    other_id: UUID
    channel: str
    suggested_at: datetime


class DismissalIn(StrictModel):
    """Two members who are two people, whatever they share."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "0197b1c8-0000-7000-8000-000000000001",
                "other_id": "0197b1c8-0000-7000-8000-000000000005",
                "actor": "support:kim",
            }
        }
    )

    member_id: UUID
    other_id: UUID
    actor: ShortText | None = Field(None, description="Who decided it; the caller's key if left out.")


class DismissalResult(BaseModel):
    """What became of a dismissal."""

    status: Literal["accepted", "unchanged"]
    member_id: UUID
    other_id: UUID
