"""Merge and unmerge: what comes under an id is in the account of whoever that id stands for.

Nothing is rewritten. A lot, a hold and an entry know the member whom they came under; merging says in whose
account they are. So the state follows from the links alone: `merge` works out who stands for whom, and moves
whatever is in another account than it should be. It makes no difference in which order links, orders and
refunds are heard of.

Undone, a merge gives each side the lots that came under its own id, also those that came meanwhile, as far
as they are still there: what was spent while the two were one stays spent, from whichever lots it was. Debt
that the merged member brought goes back with them as far as it is still owed; what the two owed together
stays with the one who survived. Holds go with the id that they were asked for. If such a hold has pinned
points of the other side, those points stay with the hold, in a lot of their own with the same date.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import Account
from services.points.domain.aliases import roots
from services.points.operations import settle
from services.points.operations.ledger import Ledger
from services.points.repository import aliases as repository
from services.points.repository import ledger as ledger_repository
from services.points.repository.aliases import AliasRow, OpenLot, OpenPin
from services.points.repository.ledger import LotRow, MoveRow
from shared.ids import new_id
from shared.outbox import emit

ACTOR = "points"


class Link(NamedTuple):
    """What was said of a member's merging; of two for the same `merged_id` the higher revision holds."""

    merged_id: UUID
    surviving_id: UUID
    merged: bool
    revision: int
    changed_at: datetime


class Merged(NamedTuple):
    """Whose account holds what comes under the member's id now; `changed` if something had to be done."""

    merged_id: UUID
    root_id: UUID
    changed: bool


async def merge(session: AsyncSession, links: Sequence[Link]) -> list[Merged]:
    """Bring accounts in line with who stands for whom, after these links and all before them."""
    await repository.lock_merges(session)
    latest: dict[UUID, Link] = {}
    for link in links:
        if link.merged_id not in latest or link.revision >= latest[link.merged_id].revision:
            latest[link.merged_id] = link
    named = {member_id for link in links for member_id in (link.merged_id, link.surviving_id)}
    members = sorted(await repository.component(session, sorted(named)))
    stored = await repository.aliases(session, members)
    news = {
        merged_id: link
        for merged_id, link in latest.items()
        if merged_id not in stored or link.revision > stored[merged_id].revision
    }
    before = {row.merged_id: row.surviving_id for row in stored.values() if row.merged}
    surviving = dict(before)
    for merged_id, link in news.items():
        surviving.pop(merged_id, None)
        if link.merged:
            surviving[merged_id] = link.surviving_id
    old, new = roots(before, members), roots(surviving, members)
    if news:
        await _regroup(session, members, stored, news, old, new)
    return [Merged(link.merged_id, new[link.merged_id], link.merged_id in news) for link in links]


async def _regroup(
    session: AsyncSession,
    members: Sequence[UUID],
    stored: Mapping[UUID, AliasRow],
    news: Mapping[UUID, Link],
    old: Mapping[UUID, UUID],
    new: Mapping[UUID, UUID],
) -> None:
    accounts, now = await ledger_repository.lock_these(session, members)
    ledger = Ledger(dict(accounts), now)
    # Settled first, so that only what is live moves.
    await settle.settle(session, ledger, list(accounts.values()))
    await ledger.save(session)
    lots = await repository.open_lots(session, members)
    pins = await repository.open_pins(session, members)
    work = _Regrouping(ledger, new, lots, pins)
    aliases = work.move_debt(stored, news, old)
    work.move_lots()
    work.enter()
    for member_id, root in new.items():
        if old[member_id] != root:
            _slide_along(accounts[old[member_id]], accounts[root])
            ledger.change(accounts[root])
    # An account may only become an alias when it is empty, and get something when it is none any more.
    await repository.point_accounts(
        session, [(member_id, None) for member_id, root in new.items() if member_id == root]
    )
    await repository.move_holds(session, [(owner, new[owner]) for owner in members], members)
    await repository.move_lots(session, work.moved)
    await ledger_repository.open_lots(session, work.pieces)
    await repository.move_pins(session, work.repinned)
    await ledger.save(session)
    await repository.point_accounts(
        session, [(member_id, root) for member_id, root in new.items() if member_id != root]
    )
    await repository.save_aliases(session, aliases)
    await settle.expire(session, ledger, sorted(set(new.values())))
    await ledger.save(session)
    await emit(session, ledger.events)


def _slide_along(source: Account, target: Account) -> None:
    """What moves keeps the expiry that activity had put it off to, also where it comes back to."""
    if source.sliding_policy is not None and source.sliding_expires_at is not None:
        target.put_off(target.sliding_policy or source.sliding_policy, source.sliding_expires_at)


@dataclass
class _Flow:
    """What goes from one account to another."""

    points: int = 0
    debt_points: int = 0
    lots: int = 0


@dataclass
class _Regrouping:
    """What moves between accounts so that everything is where the links say."""

    ledger: Ledger
    root_of: Mapping[UUID, UUID]
    lots: Sequence[OpenLot]
    pins: Sequence[OpenPin]
    flows: dict[tuple[UUID, UUID], _Flow] = field(default_factory=lambda: defaultdict(_Flow))
    # (lot, the account that it is in from now on)
    moved: list[tuple[UUID, UUID]] = field(default_factory=list)
    pieces: list[LotRow] = field(default_factory=list)
    # (hold, the lot that it had pinned, the piece of it that it pins instead)
    repinned: list[tuple[UUID, UUID, UUID]] = field(default_factory=list)
    # (lot, points, (its account, the hold's account)): what was cut off a lot for a hold of another account.
    cuts: list[tuple[UUID, int, tuple[UUID, UUID]]] = field(default_factory=list)

    def move_debt(
        self, stored: Mapping[UUID, AliasRow], news: Mapping[UUID, Link], old: Mapping[UUID, UUID]
    ) -> list[AliasRow]:
        """Let debt follow those whose links have changed; return the links as they are from now on."""
        rows: list[AliasRow] = []
        for merged_id, link in news.items():
            source, target = old[merged_id], self.root_of[merged_id]
            known = stored.get(merged_id)
            account = self.ledger.accounts[source]
            # Who stood for themselves brings all that they owe, who comes back takes what they had brought.
            debt = account.debt_points
            if source != merged_id:
                debt = min(debt, known.debt_points if known is not None else 0)
            if source != target:
                self._owe(source, target, debt)
            kept = debt if link.merged and source != target else 0
            rows.append(
                AliasRow(merged_id, link.surviving_id, link.revision, link.merged, kept, link.changed_at)
            )
        # Somebody else's link may have made an alias of whoever stood for all.
        for member_id, root in self.root_of.items():
            if member_id != root:
                self._owe(member_id, root, self.ledger.accounts[member_id].debt_points)
        return rows

    def _owe(self, source: UUID, target: UUID, points: int) -> None:
        """Let an account owe what another one owed."""
        if points:
            flow = self.flows[source, target]
            flow.debt_points += points
            flow.points -= points
            self.ledger.accounts[source].debt_points -= points
            self.ledger.accounts[target].debt_points += points

    def move_lots(self) -> None:
        """Put every open lot into the account that its member's id leads to; cut what foreign holds pin."""
        by_lot: dict[UUID, list[OpenPin]] = defaultdict(list)
        for pinned in self.pins:
            by_lot[pinned.lot_id].append(pinned)
        for lot in self.lots:
            target = self.root_of[lot.owner_id]
            left = lot.remaining_points
            for pinned in by_lot[lot.id]:
                holder = self.root_of[pinned.owner_id]
                self._hold(lot.member_id, -pinned.points)
                self._hold(holder, pinned.points)
                if holder != target:
                    left -= pinned.points
                    self._cut(lot, pinned, holder)
            if target != lot.member_id:
                self.moved.append((lot.id, target))
                self._flow(lot, target, left)

    def _hold(self, member_id: UUID, points: int) -> None:
        account = self.ledger.accounts[member_id]
        account.held_points += points
        self.ledger.change(account)

    def _flow(self, lot: OpenLot, target: UUID, points: int) -> None:
        """Count points of a lot as going from its account to another."""
        source, taker = self.ledger.accounts[lot.member_id], self.ledger.accounts[target]
        flow = self.flows[lot.member_id, target]
        flow.points += points
        flow.lots += 1
        if lot.pending:
            source.pending_points -= points
            taker.pending_points += points
        else:
            source.open_points -= points
            taker.open_points += points
        taker.look_at(self.ledger.now)

    def _cut(self, lot: OpenLot, pinned: OpenPin, holder: UUID) -> None:
        """Give a hold of another account what it has pinned of a lot as a lot of its own there."""
        piece = new_id()
        self.pieces.append(
            (
                piece,
                holder,
                pinned.points,
                pinned.points,
                lot.earned_at,
                lot.expires_at,
                False,
                None,
                lot.sliding,
                pinned.owner_id if pinned.owner_id != holder else None,
                lot.id,
            )
        )
        self.repinned.append((pinned.hold_id, lot.id, piece))
        self.ledger.pins += [(lot.id, -pinned.points), (piece, pinned.points)]
        self.cuts.append((lot.id, pinned.points, (lot.member_id, holder)))
        if holder != lot.member_id:
            self._flow(lot, holder, pinned.points)

    def enter(self) -> None:
        """Enter what goes from account to account, once for each pair of them."""
        ledger = self.ledger
        entries: dict[tuple[UUID, UUID], UUID] = {}
        for pair in {pair for _, _, pair in self.cuts} | self.flows.keys():
            source, target = pair
            flow = self.flows.get(pair, _Flow())
            about_id = new_id()
            detail = {"lots": flow.lots, "debt_points": flow.debt_points}
            entries[pair] = self._enter(
                "merge_out", source, -flow.points, about_id, detail | {"to_id": str(target)}
            )
            if source != target:
                self._enter("merge_in", target, flow.points, about_id, detail | {"from_id": str(source)})
        for lot_id, points, pair in self.cuts:
            ledger.moves.append(MoveRow(lot_id, entries[pair], points))

    def _enter(
        self, kind: str, member_id: UUID, points: int, about_id: UUID, detail: Mapping[str, object]
    ) -> UUID:
        return self.ledger.enter(
            self.ledger.accounts[member_id],
            kind,
            points,
            about_id=about_id,
            actor=ACTOR,
            reason="Members merged or parted",
            occurred_at=self.ledger.now,
            detail=detail,
        )
