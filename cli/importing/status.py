"""What a marketplace's word for an order's state means: which documents follow from one order of the file."""

from dataclasses import dataclass
from typing import Any

__all__ = ["STATES", "Documents", "StatusRule", "following"]

STATES = ("placed", "paid", "delivered", "cancelled", "refunded")

# A refund that a state tells of has no number of its own; there is one such per order.
REFUND_ID = "refunded-by-status"
REASON = "marketplace_status"

NAME = ("source", "shop_id", "external_order_id")


@dataclass(frozen=True)
class StatusRule:
    """The column that says an order's state, what its words mean, and when it came to be so.

    An order that is only placed and has nothing in the column `waits_for` yet is not stated before it has.
    """

    column: str
    words: dict[str, str]
    at: Any
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Documents:
    """What one order of a file becomes: the document itself, and what is said about it afterwards.

    `main` is None where there is nothing left to state, such as an order that was called off without a price;
    all are where there is nothing to state yet.
    """

    main: dict[str, Any] | None
    cancellation: dict[str, Any] | None = None
    refund: dict[str, Any] | None = None
    delivery: dict[str, Any] | None = None

    @property
    def is_pending(self) -> bool:
        """Whether there is nothing to state yet."""
        return self.main is self.cancellation is self.refund is self.delivery is None

    @property
    def customer(self) -> tuple[str, str] | None:
        """Whose order it is; None if the document does not say."""
        document = self.main or {}
        source, customer = document.get("source"), document.get("external_customer_id")
        return (source, customer) if isinstance(source, str) and isinstance(customer, str) else None


def following(order: dict[str, Any], state: str, at: str | None) -> Documents:
    """The documents of an order that the marketplace says is in a state, since `at` if it tells."""
    name: dict[str, Any] = {key: order[key] for key in NAME if key in order}
    since = at or order.get("paid_at") or order.get("placed_at")
    if state in ("placed", "cancelled"):
        order = {key: value for key, value in order.items() if key not in ("paid_at", "payment_id")}
    else:
        order = {**order, "paid_at": order.get("paid_at") or order.get("placed_at")}
    if state == "cancelled":
        cancellation = {**name, "cancelled_at": since, "reason": REASON}
        return Documents(order if order.get("lines") else None, cancellation=cancellation)
    if state == "refunded":
        return Documents(order, refund={**name, **_whole_refund(order), "refunded_at": since})
    if state == "delivered":
        return Documents(order, delivery={**name, "delivered_at": since})
    return Documents(order)


def _whole_refund(order: dict[str, Any]) -> dict[str, Any]:
    """A refund of all that was paid, by line; a discount on the whole order belongs to no line."""
    worth = {
        number: line["quantity"] * line["unit_price_minor"] - line.get("discount_minor", 0)
        for number, line in enumerate(order["lines"], 1)
    }
    shipping, discount = order.get("shipping_minor", 0), order.get("discount_minor", 0)
    by_line = discount == 0
    return {
        "refund_id": REFUND_ID,
        "amount_minor": sum(worth.values()) + shipping - discount,
        "shipping_minor": shipping if by_line else 0,
        "lines": [
            {
                "line_no": number,
                "quantity": order["lines"][number - 1]["quantity"],
                "amount_minor": amount if by_line else 0,
            }
            for number, amount in worth.items()
        ],
        "reason": REASON,
    }
