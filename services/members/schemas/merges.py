"""Two members that are one person."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.schemas import ShortText, StrictModel

__all__ = ["MergeIn", "MergeResult"]


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
