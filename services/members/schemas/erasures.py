"""Whom to erase, and what that does."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.members.domain import Erasure
from services.members.schemas.vocabulary import Code
from shared.schemas import ExternalId, StrictModel

__all__ = ["ErasureIn", "ErasureResult"]


class ErasureIn(StrictModel):
    """A member to erase: by id, or by the name that a source knows them by."""

    model_config = ConfigDict(json_schema_extra={"example": {"source": "amazon", "external_id": "A2X7"}})

    member_id: UUID | None = None
    source: Code | None = None
    external_id: ExternalId | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> "ErasureIn":
        by_name = (self.source is not None, self.external_id is not None)
        if (self.member_id is not None, *by_name) not in ((True, False, False), (False, True, True)):
            raise ValueError("name either member_id, or source and external_id")
        return self

    def command(self) -> Erasure:
        """Return whom to erase as the operations take it."""
        if self.source is None or self.external_id is None:
            return Erasure(member_id=self.member_id)
        return Erasure(customer=(self.source, self.external_id))


class ErasureResult(BaseModel):
    """What an erasure did, or would do: how many of each kind went, and what the books keep."""

    status: Literal["accepted", "unchanged"]
    member_id: UUID
    erased_at: datetime
    gone: dict[str, int] = Field(description="Rows that went, by kind.")
    kept: dict[str, int] = Field(description="Rows that stay without anything personal, by kind.")
