"""A shop that hands in orders, and looks at what members made of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.members import operations
from services.members.operations import (
    CancellationTaken,
    DeliveryTaken,
    Merge,
    Merged,
    OrderTaken,
    RefundTaken,
    Summary,
    TierPurchase,
)
from services.members.repository import people
from services.members.schemas import CancellationIn, DeliveryIn, OrderIn, RefundIn
from shared.database import Database
from shared.ids import new_id
from shared.problems import Refusal
from tests.fixtures.services import emitted

__all__ = ["Shop", "cancellation", "day", "delivery", "order", "refund"]

Said = list[tuple[str, str, Any]]


def day(number: int) -> str:
    """Return an instant on a day counted from 1 January 2026."""
    month, day_of_month = divmod(number - 1, 28)
    return f"2026-{month + 1:02}-{day_of_month + 1:02}T12:00:00+00:00"


def order(number: int | str, buyer: str = "kim", total_minor: int = 1_000, **fields: Any) -> dict[str, Any]:
    """Return an order document: one line, paid at once on day 1 unless told otherwise."""
    return {
        "source": "amazon",
        "shop_id": "us-1",
        "external_order_id": f"o{number}",
        "external_customer_id": buyer,
        "currency": "USD",
        "placed_at": day(1),
        "paid_at": fields.get("placed_at", day(1)),
        "lines": [{"sku": "CD", "quantity": 1, "unit_price_minor": total_minor}],
    } | fields


def refund(number: int | str, refund_id: str, amount_minor: int, **fields: Any) -> dict[str, Any]:
    """Return a refund document for the order of that number."""
    return {
        "source": "amazon",
        "shop_id": "us-1",
        "external_order_id": f"o{number}",
        "refund_id": refund_id,
        "refunded_at": day(40),
        "amount_minor": amount_minor,
    } | fields


def cancellation(number: int | str, **fields: Any) -> dict[str, Any]:
    """Return a cancellation document for the order of that number."""
    return {
        "source": "amazon",
        "shop_id": "us-1",
        "external_order_id": f"o{number}",
        "cancelled_at": day(41),
    } | fields


def delivery(number: int | str, **fields: Any) -> dict[str, Any]:
    """Return a delivery document for the order of that number."""
    return {
        "source": "amazon",
        "shop_id": "us-1",
        "external_order_id": f"o{number}",
        "delivered_at": day(4),
    } | fields


@dataclass
class Shop:
    """The operations on a fresh database, a transaction per call."""

    database: Database

    async def take(self, *documents: dict[str, Any]) -> list[OrderTaken | Refusal]:
        commands = [OrderIn.model_validate(document).command() for document in documents]
        async with self.database.transaction() as session:
            return await operations.take_orders(session, commands, actor="test")

    async def refund(self, *documents: dict[str, Any]) -> list[RefundTaken | Refusal]:
        commands = [RefundIn.model_validate(document).command() for document in documents]
        async with self.database.transaction() as session:
            return await operations.take_refunds(session, commands)

    async def cancel(self, *documents: dict[str, Any]) -> list[CancellationTaken | Refusal]:
        commands = [CancellationIn.model_validate(document).command() for document in documents]
        async with self.database.transaction() as session:
            return await operations.take_cancellations(session, commands)

    async def deliver(self, *documents: dict[str, Any]) -> list[DeliveryTaken | Refusal]:
        commands = [DeliveryIn.model_validate(document).command() for document in documents]
        async with self.database.transaction() as session:
            return await operations.take_deliveries(session, commands)

    async def buy_tier(self, customer: str, tier: str) -> str | None:
        """Let a customer pay for a tier with points; return why it was declined."""
        command = TierPurchase(new_id(), await self.member_id(customer), tier)
        async with self.database.transaction() as session:
            return (await operations.take_tier_purchases(session, [command]))[0]

    async def merge(self, surviving: str, merged: str) -> Merged | Refusal:
        """Merge two customers of the one source."""
        command = Merge(await self.member_id(surviving), await self.member_id(merged), "test")
        async with self.database.transaction() as session:
            return (await operations.merge_members(session, [command]))[0]

    async def unmerge(self, surviving: str, merged: str) -> Merged | Refusal:
        """Undo the merge of two customers of the one source."""
        command = Merge(await self.member_id(surviving), await self.member_id(merged), "test")
        async with self.database.transaction() as session:
            return (await operations.unmerge_members(session, [command]))[0]

    async def member_id(self, customer: str = "kim", source: str = "amazon") -> UUID:
        async with self.database.reading() as session:
            return (await people.member_ids(session, [(source, customer)]))[source, customer]

    async def member(self, customer: str = "kim", source: str = "amazon") -> dict[str, Any]:
        member_id = await self.member_id(customer, source)
        async with self.database.reading() as session:
            return dict(await operations.read_member(session, member_id))

    async def said(self, *types: str) -> Said:
        """Return what was said, of some types or all."""
        async with self.database.reading() as session:
            return [event for event in await emitted(session) if not types or event[0] in types]

    async def types_said(self) -> list[str]:
        return [event_type for event_type, _, _ in await self.said()]

    async def summary(self) -> Summary:
        async with self.database.reading() as session:
            return await operations.summarise(session)

    async def rows(self, statement: str) -> Sequence[tuple[Any, ...]]:
        async with self.database.reading() as session:
            return [tuple(row) for row in await session.execute(text(statement))]

    async def audit(self) -> None:
        """Compare everything that is added up on the way with what the tables say now."""
        summary = await self.summary()
        members = dict(
            await self.rows(
                "SELECT coalesce(tier, 'none'), count(*) FROM members"
                " WHERE id NOT IN (SELECT merged_id FROM aliases) GROUP BY 1"
            )
        )
        assert summary.tiers == members
        assert summary.members == sum(members.values())
        states = dict(
            await self.rows(
                "SELECT CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled'"
                " WHEN paid_at IS NULL THEN 'placed'"
                " WHEN refunded_minor > 0 AND refunded_minor = total_minor THEN 'refunded' ELSE 'paid' END,"
                " count(*) FROM orders GROUP BY 1"
            )
        )
        assert {
            state: count for state, count in summary.orders.items() if count and state != "total"
        } == states
        assert summary.orders["total"] == sum(states.values())
        for figure, statement in (
            (summary.revenue_minor, "sum(total_minor) FROM orders WHERE paid_at IS NOT NULL"),
            (summary.refunded_minor, "sum(refunded_minor) FROM orders WHERE refunded_minor > 0"),
        ):
            rows = await self.rows(f"SELECT currency, {statement} GROUP BY 1")
            assert figure == {currency: total for currency, total in rows if total}
        wrong_spend = await self.rows(
            "SELECT m.id FROM members AS m LEFT JOIN orders AS o ON o.member_id = m.id AND o.currency = 'USD'"
            " AND o.paid_at IS NOT NULL AND o.cancelled_at IS NULL GROUP BY m.id"
            " HAVING m.spend_minor <> coalesce(sum(o.total_minor - o.refunded_minor), 0)"
        )
        assert wrong_spend == []
        wrong_tier = await self.rows(
            "SELECT m.id FROM members AS m LEFT JOIN aliases AS n ON n.merged_id = m.id"
            " WHERE n.merged_id IS NULL AND m.tier IS DISTINCT FROM (SELECT name FROM tiers AS t"
            " WHERE t.version = m.tier_version AND t.min_spend_minor <= m.spend_minor + coalesce(("
            "  SELECT sum(o.spend_minor) FROM aliases AS a JOIN members AS o ON o.id = a.merged_id"
            "  WHERE a.person_id = m.id), 0)"
            " ORDER BY t.rank DESC LIMIT 1)"
            # A tier that was bought is not what was earned.
            " AND NOT EXISTS (SELECT FROM tier_terms AS g WHERE g.member_id = m.id AND g.is_given)"
        )
        assert wrong_tier == []
        ((parked,),) = await self.rows("SELECT count(*) FROM refunds WHERE state = 'parked'")
        assert summary.parked_refunds == parked
        ((parked,),) = await self.rows("SELECT count(*) FROM deliveries WHERE state = 'parked'")
        assert summary.parked_deliveries == parked

    async def everything(self) -> dict[str, Sequence[tuple[Any, ...]]]:
        """Return what the tables hold under the names that do not depend on when or how it came."""
        return {
            "members": await self.rows(
                "SELECT i.external_id, m.tier, m.spend_minor, m.orders_count, m.last_order_at, m.locale,"
                " m.display_name FROM members AS m JOIN identities AS i ON i.member_id = m.id ORDER BY 1"
            ),
            "orders": await self.rows(
                "SELECT o.external_order_id, i.external_id, o.paid_at, o.cancelled_at, o.refunded_minor"
                " FROM orders AS o JOIN identities AS i USING (member_id) ORDER BY 1"
            ),
            "lines": await self.rows(
                "SELECT o.external_order_id, l.line_no, l.refunded_quantity FROM order_lines AS l"
                " JOIN orders AS o ON o.id = l.order_id ORDER BY 1, 2"
            ),
            "refunds": await self.rows(
                "SELECT external_order_id, refund_id, state FROM refunds ORDER BY 1, 2"
            ),
            "deliveries": await self.rows(
                "SELECT external_order_id, delivered_at, state FROM deliveries ORDER BY 1"
            ),
            "consents": await self.rows(
                "SELECT i.external_id, c.channel, c.purpose, c.granted, c.stated_at FROM consents AS c"
                " JOIN identities AS i USING (member_id) ORDER BY 1, 2, 3"
            ),
        }


def taken(results: Iterable[OrderTaken | Refusal]) -> list[str]:
    """Return per result `accepted`, `unchanged`, or the code of the refusal."""
    return [
        result.code if isinstance(result, Refusal) else "accepted" if result.changed else "unchanged"
        for result in results
    ]
