"""Activities, seats, payments and a way to let time pass, for the tests of campaigns."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from services.campaigns import operations
from services.campaigns.domain import PACIFIC
from services.campaigns.handlers import handlers
from services.campaigns.operations import Held, JoinGroup, NewActivity, NewSku, OpenGroup
from services.campaigns.operations.figures import summary
from shared.clock import utc_now, zone
from shared.database import Database
from shared.events import Envelope, Event, OrderLine, OrderPaid, OrderRefunded, Participation
from shared.ids import derived_id, new_id
from shared.problems import Refusal

SKU = "MUG-BLUE"

# Every stored instant, so that moving all of them back is the same as moving the clock on.
INSTANTS = {
    "activities": ("starts_at", "ends_at", "created_at", "cancelled_at", "ended_at"),
    "buy_groups": ("created_at", "opened_at", "deadline_at", "decided_at"),
    "seats": ("held_at", "held_until", "lapses_at", "paid_at"),
    "payments": ("paid_at", "received_at", "requested_at", "refunded_at"),
}


def member(number: int) -> UUID:
    """Return the same member for the same number."""
    return derived_id("test-member", str(number))


def wall(offset: timedelta) -> datetime:
    """Return the Pacific wall time at some distance from now."""
    return (utc_now() + offset).astimezone(zone(PACIFIC)).replace(tzinfo=None, microsecond=0)


def new_activity(**changes: Any) -> NewActivity:
    """Return an activity that is active now: two-person groups of a 20.00 mug at 20 % off, 100 in stock."""
    values: dict[str, Any] = {
        "name": "Mugs",
        "shop_id": "us-store",
        "starts_at_local": wall(timedelta(hours=-1)),
        "ends_at_local": wall(timedelta(days=10)),
        # Tests must pass on the night of the change as well.
        "starts_at_fold": 0,
        "ends_at_fold": 0,
        "group_size": 2,
        "discount_percent": 20,
        "currency": "USD",
        "skus": [sku()],
        "units_per_order": None,
        "units_per_member": None,
        "groups_per_member": None,
        "minimum_remaining_seconds": 0,
        "checkout_url": "https://shop.example/checkout?from=group",
    }
    return NewActivity(**(values | changes))


def sku(name: str = SKU, **changes: Any) -> NewSku:
    """Return a mug."""
    values: dict[str, Any] = {
        "sku": name,
        "product_id": "MUG",
        "title": "Blue mug",
        "normal_price_minor": 2000,
        "stock": 100,
    }
    return NewSku(**(values | changes))


async def activity(database: Database, **changes: Any) -> UUID:
    """Set up an activity and return its id."""
    async with database.transaction() as session:
        view = await operations.schedule(session, new_activity(**changes))
    activity_id: UUID = view.activity.activity_id
    return activity_id


async def attempt_open(
    database: Database, activity_id: UUID, number: int = 1, **changes: Any
) -> Held | Refusal:
    """Open a group, or return why not."""
    command = OpenGroup(**({"activity_id": activity_id, "sku": SKU, "member_id": member(number)} | changes))
    async with database.transaction() as session:
        (result,) = await operations.open_groups(session, [command])
    return result


async def opened(database: Database, activity_id: UUID, number: int = 1, **changes: Any) -> Held:
    """Open a group and return its first seat, unpaid."""
    result = await attempt_open(database, activity_id, number, **changes)
    assert isinstance(result, Held), result
    return result


async def attempt_join(
    database: Database, group_id: UUID, *numbers: int, **changes: Any
) -> list[Held | Refusal]:
    """Have members try to join a group, as one batch."""
    async with database.transaction() as session:
        return await operations.join_groups(
            session,
            [
                JoinGroup(**({"group_id": group_id, "member_id": member(number)} | changes))
                for number in numbers
            ],
        )


async def joined(database: Database, group_id: UUID, number: int, **changes: Any) -> Held:
    """Hold a seat in a group."""
    (result,) = await attempt_join(database, group_id, number, **changes)
    assert isinstance(result, Held), result
    return result


async def open_group(database: Database, activity_id: UUID, number: int = 1, **changes: Any) -> Held:
    """Open a group and pay its first seat."""
    held = await opened(database, activity_id, number, **changes)
    await hear(database, paid(held))
    return held


def paid(held: Held, **changes: Any) -> OrderPaid:
    """Return the payment of a seat: in time, and exactly its amount."""
    seat = held.seat
    values: dict[str, Any] = {
        "order_id": derived_id("test-order", str(seat.seat_id)),
        "member_id": seat.member_id,
        "source": "own-shop",
        "shop_id": "us-store",
        "external_order_id": f"O-{seat.seat_id}",
        "currency": seat.currency,
        "total_minor": seat.amount_minor,
        "placed_at": seat.held_at,
        "paid_at": seat.held_at,
        "payment_id": "P-1",
        "participation": Participation(
            activity_id=seat.activity_id, group_id=seat.group_id, seat_id=seat.seat_id
        ),
        "lines": [
            OrderLine(
                line_no=1,
                sku=seat.sku,
                product_id="MUG",
                quantity=seat.quantity,
                unit_price_minor=seat.amount_minor // seat.quantity,
            )
        ],
    }
    return OrderPaid(**(values | changes))


def refunded(order: OrderPaid, **changes: Any) -> OrderRefunded:
    """Return the complete refund of an order."""
    values: dict[str, Any] = {
        "order_id": order.order_id,
        "member_id": order.member_id,
        "source": order.source,
        "shop_id": order.shop_id,
        "external_order_id": order.external_order_id,
        "refund_id": "R-1",
        "refunded_at": utc_now(),
        "currency": order.currency,
        "amount_minor": order.total_minor,
        "complete": True,
        "participation": order.participation,
    }
    return OrderRefunded(**(values | changes))


def envelope(event: Event) -> Envelope[Event]:
    """Return an event as the consumer hands it over."""
    return Envelope(id=new_id(), type=event.type, source="members", time=utc_now(), key=event.key, data=event)


async def hear(database: Database, *events: Event) -> None:
    """Let the service hear events in one batch."""
    async with database.transaction() as session:
        await handlers.dispatch(session, [envelope(event) for event in events])


async def pass_time(database: Database, by: timedelta) -> None:
    """Let time pass: everything that was written lies that much further back."""
    async with database.transaction() as session:
        for table, columns in INSTANTS.items():
            moves = ", ".join(f"{column} = {column} - CAST(:by AS interval)" for column in columns)
            await session.execute(text(f"UPDATE {table} SET {moves}"), {"by": by})
        await session.execute(
            text(
                "UPDATE sku_locks SET during = tstzrange(lower(during) - CAST(:by AS interval),"
                " upper(during) - CAST(:by AS interval))"
            ),
            {"by": by},
        )


async def run_jobs(database: Database) -> None:
    """Run every timed job until nothing is due."""
    for job in (operations.lapse_holds, operations.decide_due_groups, operations.end_activities):
        async with database.transaction() as session:
            await job(session, 1000)


async def figures(database: Database) -> dict[str, Any]:
    """Return the summary."""
    async with database.reading() as session:
        return await summary(session)


async def stock_left(database: Database, activity_id: UUID, name: str = SKU) -> int:
    """Return what is left of a SKU's stock."""
    async with database.reading() as session:
        view = await operations.activity(session, activity_id)
    return next(int(row.stock_left) for row in view.skus if row.sku == name)


async def group_state(database: Database, group_id: UUID) -> str:
    """Return the state of a group by the clock."""
    async with database.reading() as session:
        return str((await operations.group(session, group_id)).group.state_now)


async def seat_states(database: Database, group_id: UUID) -> list[str]:
    """Return the states of a group's seats, oldest first."""
    async with database.reading() as session:
        return [seat.state for seat in (await operations.group(session, group_id)).seats]


async def refund_reasons(database: Database) -> dict[str, int]:
    """Return how many refunds were requested for which reason."""
    found: dict[str, int] = (await figures(database))["refund_reasons"]
    return found


def codes(results: Sequence[Held | Refusal]) -> list[str]:
    """Return `held` or the refusal's code of each result."""
    return [result.code if isinstance(result, Refusal) else "held" for result in results]
