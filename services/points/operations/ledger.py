"""The ledger as one batch works on it: locked accounts, and what will be written, column by column.

Opening it locks the accounts and expires what is due in them, so that whatever follows sees live lots only,
however late the expiry job is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.points.domain import CONTRA_OF_KIND, Account
from services.points.repository import ledger as repository
from services.points.repository.ledger import EntryRow, LotRow, MoveRow
from shared.events import Event, PointsExpired
from shared.ids import new_id


@dataclass(slots=True)
class Ledger:
    """Locked accounts with the rows and events of one batch; `save` writes and forgets the rows."""

    accounts: dict[UUID, Account]
    now: datetime
    entries: list[EntryRow] = field(default_factory=list)
    lots: list[LotRow] = field(default_factory=list)
    moves: list[MoveRow] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    # Points that this batch put into open lots although they had expired already, until `expire` takes them.
    withheld: dict[UUID, int] = field(default_factory=dict)
    # Accounts whose figures are written already, so that `save` leaves them alone.
    credited: set[UUID] = field(default_factory=set)
    _changed: dict[UUID, Account] = field(default_factory=dict)

    @classmethod
    async def open(
        cls, session: AsyncSession, member_ids: Iterable[UUID], *, create: bool = True
    ) -> "Ledger":
        """Lock the members' accounts, making missing ones if `create`, and settle them."""
        lock = repository.lock_accounts if create else repository.lock_known_accounts
        accounts = await lock(session, member_ids)
        ledger = cls(accounts, await repository.database_now(session))
        await ledger.settle(session, accounts)
        return ledger

    async def admit(self, session: AsyncSession, member_ids: Iterable[UUID]) -> None:
        """Lock further accounts that turned out to be needed."""
        missing = [member_id for member_id in member_ids if member_id not in self.accounts]
        if missing:
            self.accounts |= await repository.lock_accounts(session, missing)
            await self.settle(session, missing)

    async def reload(self, session: AsyncSession, member_ids: Iterable[UUID]) -> None:
        """Read locked accounts with all their figures. What is gathered must be saved before."""
        again = set(member_ids)
        if again:
            self.accounts |= await repository.lock_known_accounts(session, again)
            self.credited -= again

    def change(self, account: Account) -> None:
        """Have `save` write an account, unless its figures are written already."""
        if account.member_id not in self.credited:
            self._changed[account.member_id] = account

    async def settle(self, session: AsyncSession, member_ids: Iterable[UUID]) -> None:
        """Expire what is due in accounts that were just locked, before anything is gathered for them."""
        due = [
            member_id
            for member_id in member_ids
            if (account := self.accounts[member_id]).next_expiry_at is not None
            and account.next_expiry_at <= self.now
        ]
        await self.expire(session, due)

    async def expire(self, session: AsyncSession, member_ids: Sequence[UUID]) -> None:
        """Expire due lots of these locked accounts, one entry and one event for each account."""
        for expiry in await repository.expire_due_lots(session, member_ids, now=self.now):
            account = self.accounts.get(expiry.member_id)
            self.withheld.pop(expiry.member_id, None)
            if account is not None:
                account.sequence = expiry.sequence
                account.open_points = expiry.open_points
                account.expired_points = expiry.expired_points
                account.next_expiry_at = expiry.next_expiry_at
            if expiry.lots:
                balance_points = expiry.open_points - expiry.held_points - expiry.debt_points
                self.events.append(
                    PointsExpired(
                        member_id=expiry.member_id,
                        entry_id=expiry.entry_id,
                        points=expiry.points,
                        lots=expiry.lots,
                        expired_at=self.now,
                        balance_points=balance_points,
                    )
                )

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
        detail: Mapping[str, Any] | None = None,
    ) -> UUID:
        """Append an entry to an account and return its id; the caller changes the account's figures.

        `detail` is whatever else explains the entry, as JSON knows it.
        """
        account.sequence += 1
        self.change(account)
        entry_id = new_id()
        self.entries.append(
            EntryRow(
                account.member_id,
                account.sequence,
                entry_id,
                kind,
                CONTRA_OF_KIND[kind],
                points,
                about_id,
                reference,
                rule_version,
                basis_minor,
                currency,
                actor,
                reason,
                occurred_at,
                None if detail is None else msgspec.json.encode(detail).decode(),
            )
        )
        return entry_id

    async def save(self, session: AsyncSession) -> None:
        """Write what was gathered, and the accounts that it changed."""
        await repository.add_entries(session, self.entries, recorded_at=self.now)
        await repository.open_lots(session, self.lots)
        await repository.move_points(session, self.moves)
        await repository.save_accounts(session, self._changed.values())
        self.entries, self.lots, self.moves, self._changed = [], [], [], {}
