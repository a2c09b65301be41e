"""The ledger as one batch works on it: locked accounts, and what will be written, column by column.

Opening it locks the accounts and settles them: what is due matures, lapses or expires, so that whatever
follows sees live lots only, however late the job is.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import CONTRA_OF_KIND, Account, ExpiryPolicy, Lot, expiry_of, spending_order, take
from services.points.domain.accounts import ACTIVITIES
from services.points.operations import settle
from services.points.repository import ledger as repository
from services.points.repository.chain import entry_hash
from services.points.repository.ledger import EntryRow, LotRow, MoveRow
from services.points.settings import settings
from shared.clock import zone
from shared.events import Event
from shared.ids import new_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_encode = msgspec.json.Encoder().encode

# What becomes of points that are to be taken back and are gone already.
DebtPolicy = Literal["debt", "pending", "forgive"]


class ClawedBack(NamedTuple):
    """What a clawback did: its entry, what the member owes of it, and what they were let off."""

    entry_id: UUID
    debt_points: int
    forgiven_points: int


@dataclass(slots=True)
class Ledger:
    """Locked accounts with the rows and events of one batch; `save` writes and forgets the rows.

    `accounts` are found under every id that was asked for: that of a merged member leads to the account of
    whom they were merged into, whose own id is `account.member_id`.
    """

    accounts: dict[UUID, Account]
    now: datetime
    entries: list[EntryRow] = field(default_factory=list)
    lots: list[LotRow] = field(default_factory=list)
    moves: list[MoveRow] = field(default_factory=list)
    # (lot, points): what holds pin of lots more, or less if negative.
    pins: list[tuple[UUID, int]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    # Points that this batch put into open lots although they had expired already, until `save` takes them.
    withheld: dict[UUID, int] = field(default_factory=dict)
    # Accounts with something due that came up in this batch, such as the lots of a hold that is over.
    _due: set[UUID] = field(default_factory=set)
    _changed: dict[UUID, Account] = field(default_factory=dict)
    # Accounts that orders earned for; of those that have not changed otherwise less has to be written.
    _earned: dict[UUID, Account] = field(default_factory=dict)

    @classmethod
    async def open(
        cls, session: AsyncSession, member_ids: Iterable[UUID], *, create: bool = True
    ) -> "Ledger":
        """Lock the members' accounts, making missing ones if `create`, and settle them."""
        ledger = cls({}, EPOCH)
        locked, now = await ledger._lock(session, member_ids, create=create)
        # The clock is read after the locks: whoever waited for one judges by the time it has become.
        ledger.now = now or await repository.database_now(session)
        await settle.settle(session, ledger, locked)
        return ledger

    async def admit(self, session: AsyncSession, member_ids: Iterable[UUID], *, create: bool = True) -> None:
        """Lock further accounts that turned out to be needed, and settle them."""
        locked, _ = await self._lock(session, member_ids, create=create)
        await settle.settle(session, self, locked)

    async def _lock(
        self, session: AsyncSession, member_ids: Iterable[UUID], *, create: bool
    ) -> tuple[list[Account], datetime | None]:
        """Lock accounts that are not yet; return them, and the clock after the last of them."""
        asked = set(member_ids).difference(self.accounts)
        locked: list[Account] = []
        now: datetime | None = None
        while asked:
            found, now = await repository.lock_accounts(session, asked, create=create)
            for member_id, account in found.items():
                if self.accounts.setdefault(member_id, account) is account:
                    locked.append(account)
            absent = asked - found.keys()
            roots = await repository.roots(session, absent) if absent else {}
            for alias, root in roots.items():
                if root in self.accounts:
                    self.accounts[alias] = self.accounts[root]
            # Whoever is merged between the look-up and the lock is followed in another round.
            asked = {alias for alias, root in roots.items() if root not in self.accounts}
        return locked, now

    def change(self, account: Account) -> None:
        """Have `save` write an account with all its figures."""
        self._changed[account.member_id] = account

    def enter(
        self,
        account: Account,
        kind: str,
        points: int,
        *,
        about_id: UUID,
        actor: str,
        reason: str,
        occurred_at: datetime,
        reference: str = "",
        rule_version: int | None = None,
        basis_minor: int | None = None,
        currency: str | None = None,
        detail: Mapping[str, Any] | msgspec.Struct | None = None,
        origin_id: UUID | None = None,
        contra: str | None = None,
    ) -> UUID:
        """Append an entry to an account, count it in the lifetime figure of its kind, and return its id.

        The points themselves are moved by `credit` and `debit`. `detail` is whatever else explains the entry,
        as JSON knows it; `origin_id` the id that it came under; `contra` is for reversals.
        """
        account.sequence += 1
        against = contra or CONTRA_OF_KIND[kind]
        if kind == "earn":
            account.earned_points += points
            self._earned[account.member_id] = account
        else:
            account.count(kind, against, points)
            self._changed[account.member_id] = account
        if account.sliding_policy is not None and kind in ACTIVITIES:
            self._slide(account, account.sliding_policy, occurred_at)
        entry_id = new_id()
        said = (
            account.member_id,
            account.sequence,
            entry_id,
            kind,
            against,
            points,
            about_id,
            reference,
            rule_version,
            basis_minor,
            currency,
            actor,
            reason,
            occurred_at,
            None if detail is None else _encode(detail).decode(),
            None if origin_id == account.member_id else origin_id,
            self.now,
        )
        account.head = entry_hash(account.head, *said)
        self.entries.append((*said, account.head))
        return entry_id

    def _slide(self, account: Account, policy: str, active_at: datetime) -> None:
        until = expiry_of(ExpiryPolicy.parse(policy), active_at, zone(settings().zone))
        assert until is not None, "a sliding policy has a length"
        account.put_off(policy, until)
        self.change(account)

    def credit(
        self,
        account: Account,
        points: int,
        *,
        lot_id: UUID,
        earned_at: datetime,
        expires_at: datetime | None,
        matures_at: datetime | None = None,
        pending: bool = False,
        policy: ExpiryPolicy | None = None,
        origin_id: UUID | None = None,
        parent_id: UUID | None = None,
    ) -> int:
        """Let points repay debt and open a lot with the rest; return how many points are in the lot.

        The lot is pending until `matures_at`, or if it is `pending` without one until `mature` is called for
        it. Under a sliding `policy` its date is the account's. What has expired before it arrived repays
        nothing, just as if it had arrived in time and expired since.
        """
        waits = (pending and matures_at is None) or (matures_at is not None and matures_at > self.now)
        late = not waits and expires_at is not None and expires_at <= self.now
        opened = points if late else account.repay(points)
        sliding = policy is not None and policy.slides
        if opened < points or waits or sliding:
            self.change(account)
        if opened == 0:
            return 0
        if sliding and expires_at is not None:
            assert policy is not None
            account.put_off(policy.serialise(), expires_at)
            late = late and account.sliding_expires_at is not None and account.sliding_expires_at <= self.now
        if waits:
            account.pending_points += opened
            account.look_at(matures_at)
        else:
            account.open_points += opened
            account.look_at(expires_at)
        if late:
            self.withheld[account.member_id] = self.withheld.get(account.member_id, 0) + opened
            self._due.add(account.member_id)
        origin_id = None if origin_id == account.member_id else origin_id
        self.lots.append(
            (
                lot_id,
                account.member_id,
                opened,
                opened,
                earned_at,
                None if sliding else expires_at,
                waits,
                matures_at,
                sliding,
                origin_id,
                parent_id,
            )
        )
        return opened

    async def paying_lots(
        self,
        session: AsyncSession,
        needs: Mapping[UUID, int],
        *,
        wanted_ids: Sequence[UUID] = (),
        with_pending: bool = False,
        with_due: bool = False,
    ) -> dict[UUID, list[Lot]]:
        """Return, per id asked for, the live lots that could pay what is needed, in spending order.

        Lots in `wanted_ids` come in any case, pending or not; `with_pending` adds all pending lots at the
        end, `with_due` those past their date. Ids that lead to one account share one list.
        """
        by_root: dict[UUID, int] = {}
        for member_id, points in needs.items():
            root = self.accounts[member_id].member_id
            by_root[root] = by_root.get(root, 0) + points
        dates = {root: self.accounts[root].sliding_expires_at for root in by_root}
        lots = await repository.paying_lots(
            session,
            by_root,
            dates,
            now=self.now,
            wanted_ids=wanted_ids,
            with_pending=with_pending,
            with_due=with_due,
        )
        return {member_id: lots[self.accounts[member_id].member_id] for member_id in needs}

    def debit(
        self,
        account: Account,
        points: int,
        lots: Sequence[Lot],
        *,
        entry_id: UUID,
        first: UUID | None = None,
    ) -> int:
        """Take points out of lots in the order given, the lot `first` before all; return what was missing."""
        pending = {lot.id for lot in lots if lot.pending}
        moves, missing = take(spending_order(lots, first) if first is not None else lots, points)
        for lot_id, taken in moves:
            if lot_id in pending:
                account.pending_points -= taken
            else:
                account.open_points -= taken
            self.moves.append(MoveRow(lot_id, entry_id, taken))
        self.change(account)
        return missing

    def claw_back(
        self,
        account: Account,
        points: int,
        lots: Sequence[Lot],
        *,
        first: UUID,
        policy: DebtPolicy = "debt",
        about_id: UUID,
        reference: str,
        actor: str,
        reason: str,
        occurred_at: datetime,
        **entry: Any,
    ) -> ClawedBack:
        """Take points back: from the lot `first`, then from the others in their order.

        What is missing becomes debt, or is taken from pending points, or is forgiven, by `policy`; what
        pending points cannot pay is forgiven too. Forgiving is an entry of its own. For `pending`, `lots` are
        those of `paying_lots` with pending ones.
        """
        entry_id = self.enter(
            account,
            "claw_back",
            -points,
            about_id=about_id,
            reference=reference,
            actor=actor,
            reason=reason,
            occurred_at=occurred_at,
            **entry,
        )
        payers = lots if policy == "pending" else [lot for lot in lots if not lot.pending or lot.id == first]
        missing = self.debit(account, points, payers, entry_id=entry_id, first=first)
        if missing == 0 or policy == "debt":
            account.debt_points += missing
            return ClawedBack(entry_id, missing, 0)
        self.enter(
            account,
            "adjust",
            missing,
            about_id=about_id,
            reference=reference,
            actor=actor,
            reason="Owed points forgiven",
            occurred_at=occurred_at,
            detail={"forgives": str(entry_id)},
        )
        return ClawedBack(entry_id, 0, missing)

    def repay_entry(self, account: Account, points: int) -> UUID:
        """Enter that free points repaid debt: nothing comes or goes, but lots pay what was owed."""
        return self.enter(
            account,
            "repay",
            0,
            about_id=new_id(),
            actor=settle.ACTOR,
            reason="Debt repaid with points that became free",
            occurred_at=self.now,
            detail={"repaid_points": points},
        )

    async def write_accounts(self, session: AsyncSession, member_ids: Iterable[UUID]) -> None:
        """Write those of the accounts that have changed, ahead of `save`."""
        changed = [account for member_id in member_ids if (account := self._changed.pop(member_id, None))]
        await self._write(session, changed, [])

    async def _write(
        self, session: AsyncSession, changed: Collection[Account], earned: Collection[Account]
    ) -> None:
        await repository.save_accounts(session, changed)
        await repository.save_earned(session, earned)
        for account in (*changed, *earned):
            account.counted()

    def settle_again(self, account: Account) -> None:
        """Have `save` settle an account once more: what was pinned or pending may be due."""
        self._due.add(account.member_id)

    async def save(self, session: AsyncSession) -> None:
        """Write what was gathered, and the accounts that it changed.

        Points that had passed their date before they came go in the same transaction, and points that became
        free repay debt.
        """
        await repository.add_entries(session, self.entries)
        await repository.open_lots(session, self.lots)
        await repository.pin_lots(session, self.pins)
        await repository.move_points(session, self.moves)
        changed, earned = self._changed, self._earned
        await self._write(session, changed.values(), [earned[id_] for id_ in earned if id_ not in changed])
        self.entries, self.lots, self.pins, self.moves = [], [], [], []
        self._changed, self._earned = {}, {}
        due, self._due = self._due, set()
        indebted = [account for account in changed.values() if account.debt_points]
        if indebted:
            await settle.repay(session, self, indebted)
        if due:
            await settle.expire(session, self, sorted(due))
