"""The first tables of members, and the tiers that a program starts with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.platform_migrations import create_platform_tables_v1, drop_platform_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")
DEFAULT_TIERS = [
    {"version": 1, "name": "bronze", "rank": 0, "min_spend_minor": 0},
    {"version": 1, "name": "silver", "rank": 1, "min_spend_minor": 20_000},
    {"version": 1, "name": "gold", "rank": 2, "min_spend_minor": 50_000},
    {"version": 1, "name": "platinum", "rank": 3, "min_spend_minor": 150_000},
]


def _member_id() -> "sa.Column[object]":
    return sa.Column("member_id", sa.Uuid, nullable=False)


def _of_member(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["member_id"],
        ["members.id"],
        name=f"fk_{table}_member_id",
        deferrable=True,
        initially="DEFERRED",
    )


def _create_people() -> None:
    op.create_table(
        "members",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("display_name", sa.Text),
        sa.Column("locale", sa.Text),
        sa.Column("time_zone", sa.Text),
        sa.Column("country", sa.Text),
        sa.Column("birthday", sa.Date),
        sa.Column("attributes_stated_at", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("tier", sa.Text),
        sa.Column("tier_rank", sa.Integer, nullable=False, server_default=sa.text("-1")),
        sa.Column("tier_changed_at", INSTANT),
        sa.Column("tier_version", sa.Integer, nullable=False),
        sa.Column("spend_minor", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("orders_count", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("last_order_at", INSTANT),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("updated_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_members"),
        sa.CheckConstraint("spend_minor >= 0", name=op.f("ck_members_spend_minor")),
        postgresql_with={"fillfactor": 85},
    )
    op.create_index("ix_members_tier_version", "members", ["tier_version", "id"])
    op.create_table(
        "identities",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        _member_id(),
        sa.Column("first_seen_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("source", "external_id", name="pk_identities"),
        _of_member("identities"),
    )
    op.create_index("ix_identities_member_id", "identities", ["member_id"])
    op.create_table(
        "contact_points",
        _member_id(),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("added_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("member_id", "channel", "address", name="pk_contact_points"),
        _of_member("contact_points"),
    )
    op.create_index("ix_contact_points_address", "contact_points", ["channel", "address"])
    op.create_table(
        "tags",
        _member_id(),
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("given_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("expires_at", INSTANT),
        sa.PrimaryKeyConstraint("member_id", "tag", name="pk_tags"),
        _of_member("tags"),
    )
    op.create_index(
        "ix_tags_expires_at", "tags", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL")
    )


def _create_consents() -> None:
    op.create_table(
        "consents",
        _member_id(),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("granted", sa.Boolean, nullable=False),
        sa.Column("stated_at", INSTANT, nullable=False),
        sa.Column("wording_hash", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("member_id", "channel", "purpose", name="pk_consents"),
        _of_member("consents"),
    )
    op.create_table(
        "consent_log",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _member_id(),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("granted", sa.Boolean, nullable=False),
        sa.Column("stated_at", INSTANT, nullable=False),
        sa.Column("wording_hash", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_consent_log"),
        sa.UniqueConstraint(
            "member_id", "channel", "purpose", "stated_at", "granted", name="uq_consent_log_statement"
        ),
        _of_member("consent_log"),
    )


def _create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid, nullable=False),
        _member_id(),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("shop_id", sa.Text, nullable=False),
        sa.Column("external_order_id", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("total_minor", sa.BigInteger, nullable=False),
        sa.Column("shipping_minor", sa.BigInteger, nullable=False),
        sa.Column("discount_minor", sa.BigInteger, nullable=False),
        sa.Column("redeemed_minor", sa.BigInteger, nullable=False),
        sa.Column("placed_at", INSTANT, nullable=False),
        sa.Column("paid_at", INSTANT),
        sa.Column("payment_id", sa.Text),
        sa.Column("cancelled_at", INSTANT),
        sa.Column("refunded_minor", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("channel", sa.Text),
        sa.Column("campaign_ref", sa.Text),
        sa.Column("country", sa.Text),
        sa.Column("coupon_codes", JSONB),
        sa.Column("participation", JSONB),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("source", "shop_id", "external_order_id", name="uq_orders_external"),
        sa.CheckConstraint("total_minor >= 0", name=op.f("ck_orders_total_minor")),
        sa.CheckConstraint("refunded_minor BETWEEN 0 AND total_minor", name=op.f("ck_orders_refunded_minor")),
        _of_member("orders"),
        postgresql_with={"fillfactor": 85},
    )
    op.create_index("ix_orders_member_id", "orders", ["member_id", "placed_at", "id"])
    op.create_table(
        "order_lines",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("line_no", sa.Integer, nullable=False),
        sa.Column("sku", sa.Text, nullable=False),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("category", sa.Text),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger, nullable=False),
        sa.Column("discount_minor", sa.BigInteger, nullable=False),
        sa.Column("tax_minor", sa.BigInteger, nullable=False),
        sa.Column("unit_cost_minor", sa.BigInteger),
        sa.Column("refunded_quantity", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("order_id", "line_no", name="pk_order_lines"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_lines_order_id"),
        sa.CheckConstraint(
            "refunded_quantity BETWEEN 0 AND quantity", name=op.f("ck_order_lines_refunded_quantity")
        ),
    )


def _create_returns() -> None:
    op.create_table(
        "refunds",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("shop_id", sa.Text, nullable=False),
        sa.Column("external_order_id", sa.Text, nullable=False),
        sa.Column("refund_id", sa.Text, nullable=False),
        sa.Column("refunded_at", INSTANT, nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("shipping_minor", sa.BigInteger, nullable=False),
        sa.Column("lines", JSONB, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("refund_key", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("refusal", sa.Text),
        sa.Column("received_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("source", "shop_id", "external_order_id", "refund_id", name="pk_refunds"),
        sa.CheckConstraint("state IN ('parked', 'applied', 'refused')", name=op.f("ck_refunds_state")),
    )
    op.create_index(
        "ix_refunds_state",
        "refunds",
        ["state", "received_at"],
        postgresql_where=sa.text("state <> 'applied'"),
    )
    op.create_table(
        "cancellations",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("shop_id", sa.Text, nullable=False),
        sa.Column("external_order_id", sa.Text, nullable=False),
        sa.Column("cancelled_at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("source", "shop_id", "external_order_id", name="pk_cancellations"),
        sa.CheckConstraint("state IN ('parked', 'applied')", name=op.f("ck_cancellations_state")),
    )
    op.create_index(
        "ix_cancellations_state",
        "cancellations",
        ["received_at"],
        postgresql_where=sa.text("state = 'parked'"),
    )


def _create_program() -> None:
    tiers = op.create_table(
        "tiers",
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("min_spend_minor", sa.BigInteger, nullable=False),
        sa.Column("benefits", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("version", "name", name="pk_tiers"),
        sa.UniqueConstraint("version", "rank", name="uq_tiers_rank"),
        sa.CheckConstraint("min_spend_minor >= 0", name=op.f("ck_tiers_min_spend_minor")),
    )
    op.bulk_insert(tiers, DEFAULT_TIERS)
    op.create_table(
        "tallies",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("figure", sa.Text, nullable=False),
        sa.Column("value", sa.Numeric, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tallies"),
    )


def upgrade() -> None:
    create_platform_tables_v1(op.get_bind())
    _create_people()
    _create_consents()
    _create_orders()
    _create_returns()
    _create_program()


def downgrade() -> None:
    for table in (
        "tallies",
        "tiers",
        "cancellations",
        "refunds",
        "order_lines",
        "orders",
        "consent_log",
        "consents",
        "tags",
        "contact_points",
        "identities",
        "members",
    ):
        op.drop_table(table)
    drop_platform_tables_v1(op.get_bind())
