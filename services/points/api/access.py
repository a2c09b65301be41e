"""Who may call what, and how lists go on."""

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import Depends

from shared.auth import Caller, require

MAX_ITEMS = 1000

Reader = Annotated[Caller, Depends(require("points:read"))]

Writer = Annotated[Caller, Depends(require("points:write"))]

Admin = Annotated[Caller, Depends(require("points:admin"))]


class AfterEntry(msgspec.Struct):
    """Where a list of entries goes on: below this sequence."""

    sequence: int


class AfterId(msgspec.Struct):
    """Where a list goes on: after this id."""

    id: UUID
