"""Orders in: one operation for HTTP, bus and import.

The locks of a batch are always taken in one order: names of new customers, members by id, orders by key.
Whoever waits for a later kind holds only earlier ones, so batches queue up and never deadlock.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.members.domain import (
    ContactPoint,
    IncomingOrder,
    KnownOrder,
    Member,
    OrderKey,
    Statement,
    Verdict,
    state_attributes,
    state_of,
    verdict,
)
from services.members.errors import OrderConflict, OrderTotalMismatch
from services.members.operations.birthday_schedules import BirthdayAllowance
from services.members.operations.changes import Changes
from services.members.operations.consents import hear_statements
from services.members.operations.erasure import fingerprint_of, members_of_late_orders
from services.members.operations.identities import recognise, take_contact_points
from services.members.operations.order_events import order_paid, order_placed
from services.members.operations.returns import settle_parked
from services.members.repository import orders as repository
from services.members.repository import people
from services.members.repository.people import Customer
from shared.clock import utc_now
from shared.events import MemberCreated
from shared.ids import new_ids
from shared.money import MAX_AMOUNT_MINOR
from shared.problems import Refusal

__all__ = ["OrderTaken", "take_orders"]


class OrderTaken(NamedTuple):
    """What became of a stated order; `changed` is false if it was known already."""

    order: KnownOrder
    changed: bool
    note: str | None = None
    # The person whose order it is; the order itself names the member that it came under.
    person_id: UUID | None = None


async def take_orders(
    session: AsyncSession, orders: Sequence[IncomingOrder], *, actor: str
) -> list[OrderTaken | Refusal]:
    """Take in orders; `actor` is who hands them in. One result per order, in their order."""
    changes = await Changes.begin(session, actor=actor)
    batch = _Batch(changes, orders, actor)
    await batch.find_members()
    batch.decide(await repository.orders_by_key(session, batch.keys_to_read()))
    await batch.write_orders()
    batch.apply()
    await batch.take_in_people()
    await settle_parked(changes, batch.moved)
    await changes.save()
    return batch.results()


class _Batch:
    """One call of `take_orders`, step by step."""

    def __init__(self, changes: Changes, orders: Sequence[IncomingOrder], actor: str) -> None:
        self.changes = changes
        self.session = changes.session
        self.orders = orders
        self.actor = actor
        self.outcomes: dict[int, OrderTaken | Refusal] = {
            index: refusal for index, order in enumerate(orders) if (refusal := _mismatch(order))
        }
        self.members_by_customer: dict[Customer, UUID] = {}
        self.of_the_erased: dict[OrderKey, UUID] = {}
        self.known: dict[OrderKey, KnownOrder] = {}
        # Orders of this batch that are new, by key; and positions of statements that changed something.
        self.new: dict[OrderKey, tuple[KnownOrder, IncomingOrder]] = {}
        self.newly_paid: dict[OrderKey, KnownOrder] = {}
        self.placing: list[int] = []
        self.paying: list[int] = []
        self.moved: dict[OrderKey, KnownOrder] = {}

    def good(self) -> list[tuple[int, IncomingOrder]]:
        """Return what is not refused so far, with its position."""
        return [(index, order) for index, order in enumerate(self.orders) if index not in self.outcomes]

    def keys_to_read(self) -> set[OrderKey]:
        """Return the orders to read under the lock: a member of this batch's own making has none."""
        return {
            order.key
            for _, order in self.good()
            if (member_id := self._member_of(order)) is None or not self.changes.members[member_id].is_new
        }

    async def find_members(self) -> None:
        """Resolve customers to members, make members of unknown ones, and lock them all."""
        # Only the first statement about an order can bring a new customer: others contradict it.
        first = {order.key: order for _, order in reversed(self.good())}
        # An order placed before its customer was erased belongs to those books, and makes nobody anew.
        if self.changes.anybody_erased:
            self.of_the_erased = await members_of_late_orders(self.session, first.values())
        wanted = {_customer(order) for order in first.values() if order.key not in self.of_the_erased}
        found = await people.member_ids(self.session, wanted)
        if unknown := wanted - found.keys():
            # So does one about an order that is stored under somebody else.
            strangers = [order for order in first.values() if _customer(order) in unknown]
            self.known = await repository.orders_by_key(self.session, {order.key for order in strangers})
            unknown = {_customer(order) for order in strangers if order.key not in self.known}
            created = await people.claim_identities(self.session, unknown)
            recognised = await recognise(self.session, created, strangers)
            self._welcome({name: id_ for name, id_ in created.items() if recognised[name] == id_})
            found |= recognised | await people.member_ids(self.session, unknown - created.keys())
        self.members_by_customer = found
        of_strangers = {order.member_id for order in self.known.values()}
        await self.changes.lock({*found.values(), *self.of_the_erased.values(), *of_strangers})

    def _welcome(self, created: Mapping[Customer, UUID]) -> None:
        now = utc_now()
        for customer, member_id in created.items():
            member = self.changes.join(member_id)
            # What a source calls somebody can be their e-mail address, and nothing on this topic can be
            # taken back; the hash is as good a name.
            name = fingerprint_of(customer).hex()
            self.changes.events.append(
                MemberCreated(
                    member_id=member_id,
                    source=customer[0],
                    external_id=name,
                    created_at=now,
                    tier=member.tier,
                    points_multiplier_percent=self.changes.ladder.multiplier_percent(member.tier),
                )
            )

    def decide(self, under_lock: dict[OrderKey, KnownOrder]) -> None:
        """Judge each order against what is stored and against those before it in the batch."""
        known = self.known
        known |= under_lock
        ids = iter(new_ids(len(self.orders)))
        for index, order in self.good():
            before = known.get(order.key)
            if before is None:
                created = self._new_order(next(ids), order)
                known[order.key] = created
                self.new[order.key] = (created, order)
                (self.paying if order.paid_at else self.placing).append(index)
                continue
            match verdict(before, order):
                case Verdict.CONFLICT:
                    self.outcomes[index] = OrderConflict(order_id=str(before.id))
                case Verdict.UNCHANGED:
                    self.outcomes[index] = OrderTaken(before, False, None, self._person_id(before))
                case Verdict.PAY:
                    if order.key not in self.new:
                        self.newly_paid[order.key] = before
                    before.paid_at, before.payment_id = order.paid_at, order.payment_id
                    self.paying.append(index)

    def _member_of(self, order: IncomingOrder) -> UUID | None:
        return self.of_the_erased.get(order.key) or self.members_by_customer.get(_customer(order))

    def _new_order(self, order_id: UUID, order: IncomingOrder) -> KnownOrder:
        member_id = self._member_of(order)
        assert member_id is not None, "whoever is unknown was made a member"
        return KnownOrder(
            order_id,
            member_id,
            order.key,
            order.currency,
            order.total_minor,
            order.placed_at,
            order.paid_at,
            order.payment_id,
            None,
            0,
            order.participation,
            order.content,
        )

    async def write_orders(self) -> None:
        """Write new orders and payments; drop what another transaction wrote first under another customer."""
        rows = list(self.new.values())
        written = await repository.insert_orders(self.session, rows)
        if len(written) < len(rows):
            lost = {known.key for known, _ in rows if known.id not in written}
            for index in [*self.placing, *self.paying]:
                if self.orders[index].key in lost:
                    self.outcomes[index] = OrderConflict()
            self.placing = [index for index in self.placing if self.orders[index].key not in lost]
            self.paying = [index for index in self.paying if self.orders[index].key not in lost]
            self.new = {key: pair for key, pair in self.new.items() if key not in lost}
        await repository.insert_lines(self.session, list(self.new.values()))
        await repository.pay_orders(self.session, list(self.newly_paid.values()))

    def apply(self) -> None:
        """Say what happened, and count each payment in the order of its time.

        Sorting by payment is what makes tiers independent of how orders were batched: a member's running
        spend crosses a level at one certain order.
        """
        changes = self.changes
        for index in self.placing:
            order = self.known[self.orders[index].key]
            changes.events.append(order_placed(order, self.orders[index]))
            self._accept(index, order)
        for index in sorted(self.paying, key=lambda index: (self.orders[index].paid_at, index)):
            stated = self.orders[index]
            order = self.known[stated.key]
            changes.events.append(order_paid(order, stated))
            changes.figures[f"revenue:{order.currency}"] += order.total_minor
            changes.order_paid(order)
            self._accept(index, order)
        for order, _ in self.new.values():
            changes.order_came(order)
            member = changes.members[order.member_id]
            member.orders_count += 1
            member.last_order_at = max(member.last_order_at or order.placed_at, order.placed_at)
            member.is_changed = True
        for order in self.newly_paid.values():
            state_before = "placed" if order.cancelled_at is None else "cancelled"
            changes.figures[f"orders:{state_before}"] -= 1
            changes.figures[f"orders:{state_of(order)}"] += 1

    def _accept(self, index: int, order: KnownOrder) -> None:
        self.moved[order.key] = order
        note = _note(order, self.changes.currency)
        self.outcomes[index] = OrderTaken(order, True, note, self._person_id(order))

    def _person_id(self, order: KnownOrder) -> UUID:
        member = self.changes.members.get(order.member_id)
        return order.member_id if member is None else member.person_id

    async def take_in_people(self) -> None:
        """Take over what accepted orders say about their customers."""
        # A dictionary, because most orders of a customer repeat what the one before said.
        statements: dict[tuple[object, ...], Statement] = {}
        points: dict[UUID, list[ContactPoint]] = {}
        allowance = await self._birthday_allowance()
        for index in [*self.placing, *self.paying]:
            stated = self.orders[index]
            member_id = self.known[stated.key].member_id
            if self.changes.members[member_id].erased_at is not None:
                continue
            if stated.attributes:
                self._state(self.changes.members[member_id], stated, allowance)
            if stated.contact_points:
                points.setdefault(member_id, []).extend(stated.contact_points)
                self._hear(member_id, stated, statements)
        await take_contact_points(self.changes, points)
        await hear_statements(self.changes, list(statements.values()))

    async def _birthday_allowance(self) -> BirthdayAllowance:
        """Ask only about those whose birthday an order would change, which is hardly anybody."""
        changing = set()
        for index in [*self.placing, *self.paying]:
            stated = self.orders[index]
            if "birthday" not in stated.attributes:
                continue
            member = self.changes.members[self.known[stated.key].member_id]
            if not member.is_new and stated.attributes["birthday"] != member.birthday:
                changing.add(member.id)
        return await BirthdayAllowance.of(self.session, changing)

    def _state(self, member: Member, stated: IncomingOrder, allowance: BirthdayAllowance) -> None:
        """Take over attributes; a birthday that may not change once more is left, and the order is kept."""
        attributes = stated.attributes
        if "birthday" in attributes and not allowance.allows(member, attributes["birthday"]):
            attributes = {name: value for name, value in attributes.items() if name != "birthday"}
        state_attributes(member, attributes, stated.placed_at)

    def _hear(
        self, member_id: UUID, stated: IncomingOrder, statements: dict[tuple[object, ...], Statement]
    ) -> None:
        for point in stated.contact_points:
            for consent in point.consents:
                said = (member_id, point.channel, consent)
                if said not in statements:
                    purpose, granted, wording, said_at = consent
                    statements[said] = Statement(
                        member_id, point.channel, purpose, granted, said_at, wording, "order", self.actor
                    )

    def results(self) -> list[OrderTaken | Refusal]:
        """Return one result per order, in their order."""
        return [self.outcomes[index] for index in range(len(self.orders))]


def _customer(order: IncomingOrder) -> Customer:
    return (order.key[0], order.external_customer_id)


def _mismatch(order: IncomingOrder) -> Refusal | None:
    if order.total_minor < 0:
        return OrderTotalMismatch("The discount is more than the order is worth.")
    if order.total_minor > MAX_AMOUNT_MINOR:
        return OrderTotalMismatch(f"An order is worth {MAX_AMOUNT_MINOR} minor units at most.")
    if order.stated_total_minor is not None and order.stated_total_minor != order.total_minor:
        return OrderTotalMismatch(
            f"The parts add up to {order.total_minor}, the order says {order.stated_total_minor}.",
            expected_minor=order.total_minor,
        )
    return None


def _note(order: KnownOrder, currency: str) -> str | None:
    if order.paid_at is None or order.currency == currency:
        return None
    return f"Tiers count spend in {currency} only; this order is in {order.currency}."
