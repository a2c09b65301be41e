"""Shorthand for the ledger's tests: orders, refunds, rewards, and what must hold after every step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, overload
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cli.demo.moved_clock import shadow_clock
from services.points import operations
from services.points.domain import ExpiryPolicy, Reward, expiry_of
from services.points.operations import Earn, Held, Refund
from services.points.operations.ledger import Ledger
from services.points.operations.reverse import Reverse, reverse
from services.points.operations.show import Balance
from services.points.repository.audit import Finding
from shared.database import Database
from shared.events import Envelope, Event, OrderPaid
from shared.ids import new_id
from shared.outbox import emit
from shared.problems import Refusal
from tests.fixtures.moment import now
from tests.fixtures.services import emitted

# Accounts whose cached figures are not what their entries and lots give when they are gone through again.
REPLAY = text(
    """
    SELECT accounts.* FROM accounts
         LEFT JOIN LATERAL (
             SELECT count(*) AS entries, max(sequence) AS sequence,
                    coalesce(sum(points) FILTER (WHERE kind = 'earn'), 0) AS earned,
                    coalesce(-sum(points) FILTER (WHERE contra = 'redemption'), 0) AS spent,
                    coalesce(-sum(points) FILTER (WHERE contra = 'expiry'), 0) AS expired,
                    coalesce(-sum(points) FILTER (WHERE contra = 'forfeit'), 0) AS forfeited,
                    coalesce(sum(points)
                        FILTER (WHERE contra = 'adjustment' OR kind = 'opening'), 0) AS adjusted,
                    coalesce(sum(points) FILTER (WHERE contra = 'transfer'), 0) AS transferred
             FROM entries WHERE entries.member_id = accounts.member_id
         ) AS entry ON true
         LEFT JOIN LATERAL (
             SELECT min(CASE WHEN lots.sliding THEN accounts.sliding_expires_at ELSE lots.expires_at END)
                        FILTER (WHERE NOT pending AND remaining_points > pinned_points) AS expires_at,
                    min(lots.matures_at) FILTER (WHERE pending) AS matures_at
             FROM lots WHERE lots.member_id = accounts.member_id AND remaining_points > 0
         ) AS lot ON true
         LEFT JOIN LATERAL (
             SELECT coalesce(sum(points), 0) AS points, min(expires_at) AS expires_at FROM holds
             WHERE holds.member_id = accounts.member_id AND status = 'held'
         ) AS hold ON true
    WHERE accounts.sequence <> coalesce(entry.sequence, 0) OR accounts.sequence <> entry.entries
          OR accounts.earned_points <> entry.earned OR accounts.spent_points <> entry.spent
          OR accounts.expired_points <> entry.expired OR accounts.forfeited_points <> entry.forfeited
          OR accounts.adjusted_points <> entry.adjusted
          OR accounts.transferred_points <> entry.transferred
          OR accounts.held_points <> hold.points
          OR accounts.debt_points > 0 AND accounts.open_points > accounts.held_points
          OR least(lot.expires_at, lot.matures_at, hold.expires_at)
             < coalesce(accounts.next_expiry_at, 'infinity')
    """
)

PASS_TIME = (
    "UPDATE lots SET expires_at = expires_at - CAST(:by AS interval),"
    " matures_at = matures_at - CAST(:by AS interval)",
    "UPDATE accounts SET next_expiry_at = next_expiry_at - CAST(:by AS interval),"
    " sliding_expires_at = sliding_expires_at - CAST(:by AS interval)",
    "UPDATE holds SET expires_at = expires_at - CAST(:by AS interval)",
)

DAY = timedelta(days=1)


def order_of(
    member_id: UUID,
    total_minor: int = 10_000,
    *,
    order_id: UUID | None = None,
    currency: str = "USD",
    paid_at: datetime | None = None,
    **facts: Any,
) -> OrderPaid:
    """An order that is paid now unless it says else, with whatever else a rule may ask of it."""
    paid_at = paid_at or now()
    return OrderPaid(
        **{
            "order_id": order_id or new_id(),
            "member_id": member_id,
            "source": "shop",
            "shop_id": "1",
            "external_order_id": "1",
            "currency": currency,
            "total_minor": total_minor,
            "placed_at": paid_at,
            "paid_at": paid_at,
            "lines": [],
        }
        | facts
    )


def earn_of(member_id: UUID, total_minor: int = 10_000, **facts: Any) -> Earn:
    """A paid order to earn on; 100.00 dollars earn 100 points under the first rule."""
    return Earn.of(order_of(member_id, total_minor, **facts), "members")


@overload
def changed(command: Earn, **facts: Any) -> Earn: ...
@overload
def changed(command: Refund, **facts: Any) -> Refund: ...
def changed(command: Earn | Refund, **facts: Any) -> Earn | Refund:
    """The same order or refund with other facts."""
    if isinstance(command, Refund):
        return command._replace(**facts)
    return Earn.of(msgspec.structs.replace(command.order, **facts), command.actor)


def refund_of(
    paid: Earn,
    amount_minor: int,
    *,
    refund_id: str = "r1",
    complete: bool = False,
    refunded_at: datetime | None = None,
    currency: str | None = None,
) -> Refund:
    """A refund of an order."""
    order = paid.order
    return Refund(
        order.order_id,
        refund_id,
        order.member_id,
        currency or order.currency,
        amount_minor,
        complete,
        "members",
        refunded_at or now(),
    )


def coupon(
    cost_points: int = 50,
    *,
    stock: int | None = None,
    per_member_limit: int | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Reward:
    """A reward of the catalogue."""
    return Reward(
        id=new_id(),
        name="5 dollars off",
        kind="coupon",
        cost_points=cost_points,
        reference="5-off",
        stock=stock,
        per_member_limit=per_member_limit,
        starts_at=starts_at,
        ends_at=ends_at,
        retired_at=None,
        cost_minor=None,
        cost_currency=None,
    )


def envelope(event: Event, *, source: str = "members") -> Envelope[Event]:
    """An event as the consumer hands it over."""
    return Envelope(
        id=new_id(),
        type=event.type,
        source=source,
        time=now(),
        key=event.key,
        data=event,
        version=event.version,
    )


@dataclass
class Books:
    """A points database with one-line verbs."""

    database: Database
    has_moved_dates: bool = False

    async def earn(self, *commands: Earn) -> list[operations.Earned | object]:
        async with self.database.transaction() as session:
            return list(await operations.earn(session, commands))

    async def refund(self, *commands: Refund) -> list[object]:
        async with self.database.transaction() as session:
            return list(await operations.refund(session, commands))

    async def rule_set(self, **terms: Any) -> int:
        """Put a rule set into force for every order since 2020, one point per unit unless it says else."""
        async with self.database.transaction() as session:
            draft = await operations.draft_rule_set(
                session, {"base": {"points": 1}} | terms, name=None, actor="test"
            )
            await operations.activate_rule_set(session, draft.version, None, actor="test")
            await session.execute(
                text(
                    "UPDATE earning_rules SET effective_at = TIMESTAMPTZ '2020-01-01 00:00:00Z'"
                    " + make_interval(secs => version) WHERE version = :version"
                ),
                {"version": draft.version},
            )
            return draft.version

    async def redeem(self, *pairs: tuple[UUID, UUID]) -> list[object]:
        commands = [operations.Redeem(member, reward, None, "test") for member, reward in pairs]
        async with self.database.transaction() as session:
            return list(await operations.redeem(session, commands))

    async def expire(self, limit: int = 1000) -> int:
        async with self.database.transaction() as session:
            return await operations.expire(session, limit=limit)

    async def add(self, *rewards: Reward) -> None:
        async with self.database.transaction() as session:
            await operations.add_rewards(session, rewards, actor="test")

    async def balance(self, member_id: UUID) -> Balance:
        async with self.database.reading() as session:
            return await operations.show_points(session, member_id)

    async def summary(self) -> dict[str, int]:
        async with self.database.reading() as session:
            return await operations.summarise(session)

    async def give(
        self,
        member_id: UUID,
        points: int,
        *,
        expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET,
        matures_at: datetime | None = None,
        pending: bool = False,
        policy: ExpiryPolicy | None = None,
        order_id: UUID | None = None,
        earned_at: datetime | None = None,
    ) -> UUID:
        """Give points as an earning rule would that makes them wait or slide; return the entry.

        They live for a year unless it says else, and are earned now.
        """
        earned_at = earned_at or now()
        # No rule gives such dates.
        self.has_moved_dates = True
        expires_at = now() + 365 * DAY if expires_at is msgspec.UNSET else expires_at
        async with self.database.transaction() as session:
            ledger = await Ledger.open(session, [member_id])
            account = ledger.accounts[member_id]
            if policy is not None:
                expires_at = expiry_of(policy, earned_at, ZoneInfo("UTC"))
            entry_id = ledger.enter(
                account,
                "earn",
                points,
                about_id=order_id or new_id(),
                actor="test",
                reason="Given",
                occurred_at=earned_at,
                rule_version=1,
                basis_minor=points * 100,
                currency="USD",
                origin_id=member_id,
            )
            ledger.credit(
                account,
                points,
                lot_id=entry_id,
                earned_at=earned_at,
                expires_at=expires_at,
                matures_at=matures_at,
                pending=pending,
                policy=policy,
                origin_id=member_id,
            )
            await ledger.save(session)
            await emit(session, ledger.events)
            return entry_id

    async def hold(
        self, member_id: UUID, points: int, *, minutes: int = 30, order_id: UUID | None = None
    ) -> Held | Refusal:
        command = operations.Hold(
            member_id,
            points,
            "Checkout",
            "test",
            order_id,
            datetime.now(UTC) + timedelta(minutes=minutes),
        )
        async with self.database.transaction() as session:
            return (await operations.hold(session, [command]))[0]

    async def capture(self, hold_id: UUID, points: int | None = None) -> Held | Refusal:
        async with self.database.transaction() as session:
            return (await operations.capture(session, [operations.Capture(hold_id, points, "test")]))[0]

    async def void(self, hold_id: UUID) -> Held | Refusal:
        async with self.database.transaction() as session:
            return (await operations.void(session, [operations.Void(hold_id, "test")]))[0]

    async def transfer(
        self, from_id: UUID, to_id: UUID, points: int, transfer_id: UUID | None = None
    ) -> object:
        command = operations.Transfer(from_id, to_id, points, "A present", "test", transfer_id)
        async with self.database.transaction() as session:
            return (await operations.transfer(session, [command]))[0]

    async def link(self, merged_id: UUID, surviving_id: UUID, revision: int, *, merged: bool = True) -> None:
        async with self.database.transaction() as session:
            await operations.merge(
                session, [operations.Link(merged_id, surviving_id, merged, revision, datetime.now(UTC))]
            )

    async def mature(self, *order_ids: UUID) -> int:
        async with self.database.transaction() as session:
            return await operations.mature(session, order_ids)

    async def cancel(self, order_id: UUID, member_id: UUID) -> None:
        async with self.database.transaction() as session:
            await operations.cancel(session, [operations.Cancel(order_id, member_id, "members", now())])

    async def reverse(self, about_id: UUID, reference: str, up_to_points: int | None = None) -> int:
        async with self.database.transaction() as session:
            ledger = await Ledger.open(session, [])
            command = Reverse(about_id, reference, "test", "Given back", now(), up_to_points)
            (points,) = await reverse(session, ledger, [command])
            await emit(session, ledger.events)
            return points

    async def pass_time(self, by: timedelta) -> None:
        """Move the clock forward, by moving everything that has a date back.

        Entries stay as they are chained, so from then on the audit misses the dates that they imply.
        """
        self.has_moved_dates = True
        async with self.database.transaction() as session:
            for statement in PASS_TIME:
                await session.execute(text(statement), {"by": by})

    async def move_clock(self, by: timedelta) -> None:
        """Move the database's own clock forward, once: no date is touched, so the audit misses none."""
        await shadow_clock(self.database.url, by)
        await self.database.close()

    async def assert_balanced(self) -> None:
        """Entries sum to zero, everything is what they say, a replay gives the same, nobody is below zero."""
        async with self.database.reading() as session:
            await assert_adds_up(session)
        await self.assert_summed_up()
        assert await self.findings() == []

    async def assert_summed_up(self) -> None:
        """The summary says of all accounts together what their balances say of each."""
        async with self.database.reading() as session:
            figures = await operations.summarise(session)
            ids = await session.scalars(text("SELECT member_id FROM accounts WHERE merged_into IS NULL"))
            shown = [await operations.show_points(session, member_id) for member_id in ids]
        for name in ("available_points", "held_points", "pending_points", "debt_points"):
            assert figures[name] == sum(getattr(balance, name) for balance in shown), name

    async def findings(self) -> list[Finding]:
        """What the audit of everything finds."""
        async with self.database.reading() as session:
            accounts = await operations.audit_accounts(session, after=None, accounts=1_000_000)
        async with self.database.reading() as session:
            lots = await operations.audit_lots(session, after=None, lots=1_000_000)
        assert accounts.end is None
        assert lots.end is None
        findings = accounts.findings + lots.findings
        return [each for each in findings if not (self.has_moved_dates and each.check == "lot_date")]

    async def rows(self, statement: str) -> Sequence[object]:
        async with self.database.reading() as session:
            return (await session.execute(text(statement))).all()


async def assert_adds_up(session: AsyncSession) -> None:
    """All that `Books.assert_balanced` holds, but for the audit: it goes through every hash and lot."""
    figures = await operations.summarise(session)
    assert figures["entries_sum"] == 0
    assert figures["lot_mismatches"] == 0
    assert figures["available_points"] >= 0
    assert (await session.execute(REPLAY)).all() == []


async def outbox(session: AsyncSession, event_type: str) -> list[object]:
    """The payloads of one type in the outbox, in order."""
    return [payload for type_, _, payload in await emitted(session) if type_ == event_type]


def names(results: list[object]) -> list[str]:
    """What became of each command."""
    return [type(result).__name__ for result in results]
