"""Tables of what members bought, gave back and called off."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.members.models.base import (
    INSTANT,
    ROOM,
    external_order_columns,
    member_column,
    metadata,
    stamp_column,
)

__all__ = ["cancellations", "deliveries", "order_lines", "orders", "refunds", "tallies"]

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    member_column(),
    *external_order_columns(),
    Column("currency", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("shipping_minor", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("redeemed_minor", BigInteger, nullable=False),
    Column("placed_at", INSTANT, nullable=False),
    Column("paid_at", INSTANT),
    Column("payment_id", Text),
    Column("cancelled_at", INSTANT),
    Column("refunded_minor", BigInteger, nullable=False, server_default=text("0")),
    Column("channel", Text),
    Column("campaign_ref", Text),
    Column("country", Text),
    Column("coupon_codes", JSONB),
    Column("participation", JSONB),
    # Hash of everything that may never change; what comes again with another one contradicts itself.
    Column("content", LargeBinary, nullable=False),
    stamp_column("received_at"),
    UniqueConstraint("source", "shop_id", "external_order_id", name="uq_orders_external"),
    CheckConstraint("total_minor >= 0", name="total_minor"),
    CheckConstraint("refunded_minor BETWEEN 0 AND total_minor", name="refunded_minor"),
    Index("ix_orders_member_id", "member_id", "placed_at", "id"),
    postgresql_with=ROOM,
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Uuid, ForeignKey("orders.id"), nullable=False),
    Column("line_no", Integer, nullable=False),
    Column("sku", Text, nullable=False),
    Column("product_id", Text, nullable=False),
    Column("title", Text),
    Column("category", Text),
    Column("quantity", BigInteger, nullable=False),
    Column("unit_price_minor", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("unit_cost_minor", BigInteger),
    Column("refunded_quantity", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("order_id", "line_no", name="pk_order_lines"),
    CheckConstraint("refunded_quantity BETWEEN 0 AND quantity", name="refunded_quantity"),
)

STATES = "state IN ('parked', 'applied', 'refused')"

refunds = Table(
    "refunds",
    metadata,
    *external_order_columns(),
    Column("refund_id", Text, nullable=False),
    Column("refunded_at", INSTANT, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("shipping_minor", BigInteger, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("reason", Text),
    Column("refund_key", Text),
    Column("currency", Text),
    Column("state", Text, nullable=False),
    Column("refusal", Text),
    stamp_column("received_at"),
    PrimaryKeyConstraint("source", "shop_id", "external_order_id", "refund_id", name="pk_refunds"),
    CheckConstraint(STATES, name="state"),
    Index("ix_refunds_state", "state", "received_at", postgresql_where=text("state <> 'applied'")),
)

cancellations = Table(
    "cancellations",
    metadata,
    *external_order_columns(),
    Column("cancelled_at", INSTANT, nullable=False),
    Column("reason", Text),
    Column("state", Text, nullable=False),
    stamp_column("received_at"),
    PrimaryKeyConstraint("source", "shop_id", "external_order_id", name="pk_cancellations"),
    CheckConstraint("state IN ('parked', 'applied')", name="state"),
    Index("ix_cancellations_state", "received_at", postgresql_where=text("state = 'parked'")),
)

deliveries = Table(
    "deliveries",
    metadata,
    *external_order_columns(),
    Column("delivered_at", INSTANT, nullable=False),
    Column("state", Text, nullable=False),
    stamp_column("received_at"),
    PrimaryKeyConstraint("source", "shop_id", "external_order_id", name="pk_deliveries"),
    CheckConstraint("state IN ('parked', 'applied')", name="state"),
    Index("ix_deliveries_state", "received_at", postgresql_where=text("state = 'parked'")),
)

# What the summary adds up: each batch writes its differences, so that no two batches wait for one counter;
# a job folds the rows of a figure into one.
tallies = Table(
    "tallies",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("figure", Text, nullable=False),
    Column("value", Numeric, nullable=False),
)
