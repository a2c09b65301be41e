"""What may be said about a member's profile, its groups, and the schema of the operator's own attributes."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.members.schemas.vocabulary import (
    Birthday,
    Code,
    CountryCode,
    DisplayName,
    Locale,
    TimeZone,
)
from shared.schemas import ExternalId, Instant, JsonObject, ShortText, StrictModel

__all__ = [
    "ATTRIBUTE_SCHEMA_EXAMPLE",
    "AttributeSchemaOut",
    "AttributeSchemaReplaced",
    "GroupIn",
    "GroupMemberOut",
    "GroupOut",
    "MembershipIn",
    "MembershipResult",
    "ProfileChangeIn",
    "ProfilePatch",
    "ProfileResult",
]

# What names a member or says under which condition, beside what changes it.
CONDITIONS = frozenset({"member_id", "source", "external_id", "revision", "stated_at"})

ATTRIBUTE_SCHEMA_EXAMPLE = {
    "type": "object",
    "properties": {
        "shoe_size": {"type": "number", "minimum": 15, "maximum": 60},
        "favourite_tea": {"enum": ["green", "black", "oolong"]},
    },
    "additionalProperties": False,
}

OwnAttributes = Annotated[
    JsonObject,
    Field(
        description="A merge patch (RFC 7396) of the attributes that the program's schema knows: null takes"
        " one away, what is left out stays."
    ),
]


class ProfilePatch(StrictModel):
    """What to change; what is left out stays, null takes the value away."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"locale": "pt-BR", "birthday": "1988-02-29", "time_zone": "America/Sao_Paulo"}
        }
    )

    display_name: DisplayName | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    country: CountryCode | None = None
    birthday: Birthday | None = None
    attributes: OwnAttributes | None = None


class ProfileChangeIn(ProfilePatch):
    """A change of one of several members, who is named by id or as a source knows them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "source": "webshop",
                "external_id": "c-1042",
                "display_name": "Ana Example",
                "birthday": "1988-02-29",
            }
        }
    )

    member_id: UUID | None = None
    source: Code | None = None
    external_id: ExternalId | None = None
    revision: int | None = Field(
        None, ge=0, description="Refuse the change unless the member is still at this revision."
    )
    stated_at: Instant | None = Field(
        None,
        description="When it was said: a later statement about the same attribute holds. Now if left out.",
    )

    @model_validator(mode="after")
    def _names_one_member_and_a_change(self) -> "ProfileChangeIn":
        if (self.source is None) != (self.external_id is None):
            raise ValueError("source and external_id go together")
        if (self.member_id is None) == (self.source is None):
            raise ValueError("name the member by member_id, or by source and external_id")
        if not self.model_fields_set - CONDITIONS:
            raise ValueError("changes nothing")
        return self


class ProfileResult(BaseModel):
    """What became of a change; `revision` is the one that the member is at now."""

    status: str
    member_id: UUID
    revision: int


class GroupIn(StrictModel):
    """A group of members that is kept by hand."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"title": "Beta testers of the spring catalogue"}}
    )

    title: ShortText | None = Field(None, description="For people to read.")


class GroupOut(BaseModel):
    """A group of members."""

    name: str
    title: str | None
    created_by: str
    created_at: datetime


class GroupMemberOut(BaseModel):
    """A member of a group."""

    member_id: UUID
    added_by: str
    added_at: datetime


class MembershipIn(StrictModel):
    """A member to put into the group, or to take out of it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"member_id": "0197b1c8-0000-7000-8000-000000000001"}}
    )

    member_id: UUID
    is_member: bool = Field(True, description="False takes the member out.")


class MembershipResult(BaseModel):
    """What became of a member's place in the group."""

    status: str
    member_id: UUID
    is_member: bool


class AttributeSchemaOut(BaseModel):
    """The JSON Schema that the program's own attributes keep to."""

    version: int = Field(description="0 before any was set: then members have no attributes of that kind.")
    json_schema: dict[str, Any]


class AttributeSchemaReplaced(AttributeSchemaOut):
    """The schema, and how many members it finds fault with; what they have stays until it is changed."""

    members_checked: int = Field(description="Members with attributes of that kind that were looked at.")
    members_violating: int
    is_complete: bool = Field(description="False if there are more members than one answer looks at.")
