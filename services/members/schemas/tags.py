"""Tags, given and taken."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.members.schemas.people import TagOut
from services.members.schemas.vocabulary import Label
from shared.schemas import ShortText, StrictModel

__all__ = ["TagsChangeIn", "TagsIn", "TagsOut"]

MAX_TAGS_AT_ONCE = 50
TEN_YEARS_SECONDS = 315_360_000

Lifetime = Annotated[
    int | None,
    Field(ge=1, le=TEN_YEARS_SECONDS, description="The tags fall off by themselves after this time."),
]


class TagsIn(StrictModel):
    """Tags to give."""

    model_config = ConfigDict(json_schema_extra={"example": {"tags": ["vip"], "source": "spring-review"}})

    tags: Annotated[list[Label], Field(min_length=1, max_length=MAX_TAGS_AT_ONCE)]
    source: ShortText | None = Field(None, description="Who tags; the caller's key if left out.")
    expires_in_seconds: Lifetime = None


class TagsChangeIn(StrictModel):
    """Tags to give to a member and to take, for one source."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "member_id": "0197b1c8-0000-7000-8000-000000000001",
                "add": ["tea-lover"],
                "remove": ["coffee-lover"],
                "source": "segment:drinks",
                "expires_in_seconds": 7_776_000,
            }
        }
    )

    member_id: UUID
    add: Annotated[list[Label], Field(max_length=MAX_TAGS_AT_ONCE)] = Field(default_factory=list)
    remove: Annotated[list[Label], Field(max_length=MAX_TAGS_AT_ONCE)] = Field(default_factory=list)
    source: ShortText | None = Field(
        None, description="Who gives and takes; the caller's key if left out. Others' tags stay."
    )
    expires_in_seconds: Lifetime = None

    @model_validator(mode="after")
    def _says_something_once(self) -> "TagsChangeIn":
        if not self.add and not self.remove:
            raise ValueError("neither adds nor removes a tag")
        if set(self.add) & set(self.remove):
            raise ValueError("adds and removes the same tag")
        return self


class TagsOut(BaseModel):
    """All tags of the member; one that several sources hold is there once for each."""

    member_id: UUID
    tags: list[TagOut]
