"""Who holds which tag: each source for itself, and a member has a tag while any source holds it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

__all__ = ["HeldTags", "TagChange"]


@dataclass(frozen=True, slots=True)
class TagChange:
    """Tags to take from a member and tags to give; `expires_in_seconds` None is for ever.

    `source` holds what is given and loses what is taken; with None, which can only take, every source does.
    `actor` is who is said to have done it.
    """

    member_id: UUID
    source: str | None
    actor: str
    add: Sequence[str] = ()
    remove: Sequence[str] = ()
    expires_in_seconds: float | None = None


class _Holding(NamedTuple):
    expires_at: datetime | None
    is_live: bool


@dataclass(slots=True)
class HeldTags:
    """The tags of one member by source, before and after what a batch does to them.

    What is over but still stored counts as not held; it leaves with the first change of its tag, so that the
    end of a tag is said once.
    """

    rows: dict[str, dict[str, _Holding]] = field(default_factory=dict)
    removed: set[tuple[str, str]] = field(default_factory=set)
    added: dict[tuple[str, str], TagChange] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    gained: set[str] = field(default_factory=set)

    def holds(self, tag: str, source: str, expires_at: datetime | None, *, is_live: bool) -> None:
        """Take in a stored row."""
        self.rows.setdefault(tag, {})[source] = _Holding(expires_at, is_live)

    def live_tags(self) -> set[str]:
        """The tags that anybody holds now."""
        return {tag for tag, sources in self.rows.items() if any(each.is_live for each in sources.values())}

    def fits(self, change: TagChange, *, max_tags: int, max_rows: int) -> bool:
        """Say whether a change leaves the member with no more than a profile may hold."""
        if not change.add:
            return True
        after = self._copy()
        after.apply(change)
        return len(after.live_tags()) <= max_tags and sum(map(len, after.rows.values())) <= max_rows

    def _copy(self) -> "HeldTags":
        return HeldTags({tag: dict(sources) for tag, sources in self.rows.items()})

    def givers(self, tag: str) -> list[str]:
        """The sources that hold a tag since this batch."""
        return [source for source in self.rows[tag] if (tag, source) in self.added]

    def apply(self, change: TagChange) -> bool:
        """Take, then give; return whether anything is different from before."""
        taken = [self._take(tag, change) for tag in change.remove]
        given = [self._give(tag, change) for tag in change.add]
        return any(taken) or any(given)

    def _take(self, tag: str, change: TagChange) -> bool:
        sources = self.rows.get(tag, {})
        over = {name for name, each in sources.items() if not each.is_live}
        mine = set(sources) if change.source is None else {change.source} & set(sources)
        for name in over | mine:
            del sources[name]
            self.removed.add((tag, name))
            self.added.pop((tag, name), None)
        if not (over or mine) or sources:
            return bool(mine)
        del self.rows[tag]
        if tag in self.gained:
            self.gained.remove(tag)
        else:
            self.lost[tag] = change.actor
        return True

    def _give(self, tag: str, change: TagChange) -> bool:
        assert change.source is not None, "somebody gives a tag"
        sources = self.rows.setdefault(tag, {})
        before = sources.get(change.source)
        if not any(each.is_live for each in sources.values()) and self.lost.pop(tag, None) is None:
            self.gained.add(tag)
        sources[change.source] = _Holding(None, True)
        self.removed.discard((tag, change.source))
        self.added[tag, change.source] = change
        return before != _Holding(None, True) or change.expires_in_seconds is not None
