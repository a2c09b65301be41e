"""Who a member is, and how statements about a member become one profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from services.members.domain.persons import Link
from services.members.domain.terms import Terms

__all__ = ["ATTRIBUTES", "Member", "state_attributes"]

ATTRIBUTES = ("display_name", "locale", "time_zone", "country", "birthday")


@dataclass(slots=True)
class Member:
    """A member under the lock of the transaction, with what the batch in hand makes of it.

    `is_new` says that its row is still to be written, `is_changed` that the row differs from what was read,
    `has_new_profile` that the profile snapshot must be said again, `has_new_birthday` and `has_new_zone` that
    the next birthday must be planned anew, and `is_bare` that nothing is known of it but its row. `link` is
    there if the member is an alias, `merged` are the aliases of this one, however long their chains; figures
    of the row are those of what came under its own id, figures of the person are the sums.
    """

    id: UUID
    display_name: str | None = None
    locale: str | None = None
    time_zone: str | None = None
    country: str | None = None
    birthday: date | None = None
    attributes_stated_at: dict[str, str] = field(default_factory=dict)
    tier: str | None = None
    tier_rank: int = -1
    tier_changed_at: datetime | None = None
    tier_version: int = 0
    spend_minor: int = 0
    orders_count: int = 0
    last_order_at: datetime | None = None
    revision: int = 0
    purchases_count: int = 0
    first_purchase_at: datetime | None = None
    last_purchase_at: datetime | None = None
    has_tier_terms: bool = False
    stage: str = "identification"
    stage_since: datetime | None = None
    stage_look_at: datetime | None = None
    stage_is_stale: bool = False
    erased_at: datetime | None = None
    is_new: bool = False
    is_changed: bool = False
    has_new_profile: bool = False
    has_new_birthday: bool = False
    has_new_zone: bool = False
    is_bare: bool = False
    link: Link | None = None
    merged: list["Member"] = field(default_factory=list)
    terms: Terms = field(default_factory=Terms)

    @property
    def person_id(self) -> UUID:
        """The member that this one is now known as: itself, unless it is an alias."""
        return self.id if self.link is None else self.link.person_id

    @property
    def person_ids(self) -> list[UUID]:
        """This member and everybody merged into it."""
        return [self.id, *(member.id for member in self.merged)]

    @property
    def merged_at(self) -> datetime | None:
        """When somebody was merged into this member last."""
        return max((member.link.merged_at for member in self.merged if member.link is not None), default=None)

    @property
    def person_spend_minor(self) -> int:
        """Spend of this member and everybody merged into it, in minor units of the program's currency."""
        return self.spend_minor + sum(member.spend_minor for member in self.merged)

    @property
    def person_attributes(self) -> dict[str, Any]:
        """What holds of the person's attributes: of what was said under any of the ids, the latest."""
        if not self.merged:
            return {name: getattr(self, name) for name in ATTRIBUTES}
        return {name: getattr(self._last_to_say(name), name) for name in ATTRIBUTES}

    @property
    def celebrant(self) -> "Member":
        """The id under which the birthday that holds for the person was said."""
        return self._last_to_say("birthday") if self.merged else self

    def _last_to_say(self, name: str) -> "Member":
        everybody = [self, *self.merged]
        return max(everybody, key=lambda member: _instant(member.attributes_stated_at.get(name, "")))

    @property
    def person_purchases(self) -> int:
        """Purchases of this member and everybody merged into it."""
        return self.purchases_count + sum(member.purchases_count for member in self.merged)


def state_attributes(member: Member, attributes: Mapping[str, Any], stated_at: datetime) -> None:
    """Apply what was said about a member at an instant; for each attribute the latest statement holds.

    Of two statements of the same instant the greater value holds, so that their order does not matter.
    """
    for name, value in attributes.items():
        stamp = stated_at.isoformat()
        before = member.attributes_stated_at.get(name, "")
        present = getattr(member, name)
        if (_instant(before), str(present)) >= (stated_at.timestamp(), str(value)) and before:
            continue
        member.attributes_stated_at[name] = stamp
        member.is_changed = True
        if present != value:
            setattr(member, name, value)
            member.has_new_profile = True
            member.has_new_birthday |= name == "birthday"
            member.has_new_zone |= name == "time_zone"


def _instant(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp() if stamp else 0.0
