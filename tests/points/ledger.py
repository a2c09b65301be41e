"""Shorthand for the ledger's tests: orders, refunds, rewards, and what must hold after every step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, overload
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.points import operations
from services.points.domain import Reward
from services.points.operations import Earn, Refund
from services.points.operations.show import Balance
from shared.database import Database
from shared.events import Envelope, Event, OrderPaid
from shared.ids import new_id
from tests.fixtures.services import emitted

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def order_of(
    member_id: UUID,
    total_minor: int = 10_000,
    *,
    order_id: UUID | None = None,
    currency: str = "USD",
    paid_at: datetime = NOW,
    **facts: Any,
) -> OrderPaid:
    """A paid order, with whatever else a rule may ask of it."""
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
    return Earn(order_of(member_id, total_minor, **facts), "members")


@overload
def changed(command: Earn, **facts: Any) -> Earn: ...
@overload
def changed(command: Refund, **facts: Any) -> Refund: ...
def changed(command: Earn | Refund, **facts: Any) -> Earn | Refund:
    """The same order or refund with other facts."""
    if isinstance(command, Refund):
        return command._replace(**facts)
    return command._replace(order=msgspec.structs.replace(command.order, **facts))


def refund_of(
    paid: Earn,
    amount_minor: int,
    *,
    refund_id: str = "r1",
    complete: bool = False,
    refunded_at: datetime = NOW,
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
        refunded_at,
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
        time=NOW,
        key=event.key,
        data=event,
        version=event.version,
    )


@dataclass
class Books:
    """A points database with one-line verbs."""

    database: Database

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

    async def pass_time(self, by: timedelta) -> None:
        """Move the clock forward, by moving everything that has a date back."""
        async with self.database.transaction() as session:
            await session.execute(
                text("UPDATE lots SET expires_at = expires_at - CAST(:by AS interval)"), {"by": by}
            )
            await session.execute(
                text("UPDATE accounts SET next_expiry_at = next_expiry_at - CAST(:by AS interval)"),
                {"by": by},
            )

    async def assert_balanced(self) -> None:
        """Entries sum to zero, lots are what accounts say, and nobody has less than nothing."""
        figures = await self.summary()
        assert figures["entries_sum"] == 0
        assert figures["lot_mismatches"] == 0
        assert figures["available_points"] >= 0
        assert (
            figures["earned_points"]
            - figures["spent_points"]
            - figures["expired_points"]
            - figures["clawed_back_points"]
            + figures["debt_points"]
            >= figures["available_points"]
        )

    async def rows(self, statement: str) -> Sequence[object]:
        async with self.database.reading() as session:
            return (await session.execute(text(statement))).all()


async def outbox(session: AsyncSession, event_type: str) -> list[object]:
    """The payloads of one type in the outbox, in order."""
    return [payload for type_, _, payload in await emitted(session) if type_ == event_type]


def names(results: list[object]) -> list[str]:
    """What became of each command."""
    return [type(result).__name__ for result in results]
