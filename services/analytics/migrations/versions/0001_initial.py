"""Facts, summaries and the view that follows merged members."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.platform_migrations import create_platform_tables_v1, drop_platform_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The chain of merges, ended by the id that stands at its end. A circle of merges, which only a mistake makes,
# ends where it would begin again. Facts keep the ids that they came with, so a merge that is undone upstream
# needs no rewriting here.
MEMBER_IDENTITIES = """
    CREATE VIEW member_identities AS
    WITH RECURSIVE chain AS (
        SELECT merged_id AS member_id, surviving_id AS person_id, 1 AS steps FROM member_aliases
        UNION ALL
        SELECT chain.member_id, known.surviving_id, chain.steps + 1
        FROM chain JOIN member_aliases AS known ON known.merged_id = chain.person_id
        WHERE known.surviving_id <> chain.member_id
    ) CYCLE person_id SET circular USING path
    SELECT DISTINCT ON (member_id) member_id, person_id
    FROM chain
    WHERE NOT circular
    ORDER BY member_id, steps DESC
"""


def upgrade() -> None:
    create_platform_tables_v1(op.get_bind())
    op.create_table(
        "campaign_counts",
        sa.Column("activity_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("label", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("occurrences", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("activity_id", "kind", "label", name=op.f("pk_campaign_counts")),
    )
    op.create_table(
        "campaign_sales",
        sa.Column("activity_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("orders", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("units", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revenue_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("activity_id", "currency", name=op.f("pk_campaign_sales")),
    )
    op.create_table(
        "daily_counts",
        sa.Column("day", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("label", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("occurrences", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("amount", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("day", "kind", "label", "currency", name=op.f("pk_daily_counts")),
    )
    op.create_table(
        "daily_products",
        sa.Column("day", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("orders", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("units", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revenue_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cohort_refunded_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("day", "source", "product_id", "currency", name=op.f("pk_daily_products")),
    )
    op.create_table(
        "daily_sales",
        sa.Column("day", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("shop_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("channel", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("orders", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("units", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revenue_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("shipping_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refunds", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cohort_refunded_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint(
            "day", "source", "shop_id", "channel", "currency", name=op.f("pk_daily_sales")
        ),
    )
    op.create_table(
        "event_facts",
        sa.Column("kind", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("fact_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("activity_id", sa.Uuid(), nullable=True),
        sa.Column("group_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("detail", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("kind", "fact_id", name=op.f("pk_event_facts")),
    )
    op.create_index("ix_event_facts_day", "event_facts", ["day"], unique=False, postgresql_using="brin")
    op.create_index(
        "ix_event_facts_refund_requests",
        "event_facts",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("kind = 'refund.requested'"),
    )
    op.create_table(
        "ingest_days",
        sa.Column("received_on", sa.Date(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("stored", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duplicate", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("received_on", "source", name=op.f("pk_ingest_days")),
    )
    op.create_table(
        "member_aliases",
        sa.Column("merged_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("surviving_id", sa.Uuid(), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("merged_id", name=op.f("pk_member_aliases")),
    )
    op.create_index(op.f("ix_member_aliases_surviving_id"), "member_aliases", ["surviving_id"], unique=False)
    op.create_table(
        "member_sales",
        sa.Column("member_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("orders", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("units", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("revenue_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("first_order_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_order_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revision", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("member_id", "currency", name=op.f("pk_member_sales")),
    )
    op.create_table(
        "member_tiers",
        sa.Column("member_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_member_tiers")),
    )
    op.create_table(
        "order_facts",
        sa.Column("order_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("activity_id", sa.Uuid(), nullable=True),
        sa.Column("group_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("shipping_minor", sa.BigInteger(), nullable=False),
        sa.Column("discount_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("shop_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("campaign_ref", sa.Text(), nullable=True),
        sa.CheckConstraint("total_minor >= 0", name=op.f("ck_order_facts_total_not_negative")),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_order_facts")),
    )
    op.create_index(
        "ix_order_facts_activity_id",
        "order_facts",
        ["activity_id"],
        unique=False,
        postgresql_where=sa.text("activity_id IS NOT NULL"),
    )
    op.create_index("ix_order_facts_day", "order_facts", ["day"], unique=False, postgresql_using="brin")
    op.create_table(
        "order_line_facts",
        sa.Column("order_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("line_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("revenue_minor", sa.BigInteger(), nullable=False),
        sa.Column("cost_minor", sa.BigInteger(), nullable=True),
        sa.Column("product_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "line_no", name=op.f("pk_order_line_facts")),
    )
    op.create_table(
        "product_titles",
        sa.Column("source", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("sold_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "product_id", name=op.f("pk_product_titles")),
    )
    op.create_table(
        "refund_allocations",
        sa.Column("order_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("refund_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "refund_id", "product_id", name=op.f("pk_refund_allocations")),
    )
    op.create_table(
        "refund_facts",
        sa.Column("order_id", sa.Uuid(), autoincrement=False, nullable=False),
        sa.Column("refund_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("shipping_minor", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("matched", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("shop_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_refund_facts_amount_not_negative")),
        sa.PrimaryKeyConstraint("order_id", "refund_id", name=op.f("pk_refund_facts")),
    )
    op.create_index("ix_refund_facts_day", "refund_facts", ["day"], unique=False, postgresql_using="brin")
    op.create_index(
        "ix_refund_facts_waiting",
        "refund_facts",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("NOT matched"),
    )
    op.execute(MEMBER_IDENTITIES)


def downgrade() -> None:
    op.execute("DROP VIEW member_identities")
    op.drop_table("ingest_days")
    op.drop_table("campaign_sales")
    op.drop_table("campaign_counts")
    op.drop_table("daily_counts")
    op.drop_table("daily_products")
    op.drop_table("daily_sales")
    op.drop_table("product_titles")
    op.drop_table("member_tiers")
    op.drop_table("refund_allocations")
    op.drop_table("member_sales")
    op.drop_table("member_aliases")
    op.drop_table("event_facts")
    op.drop_table("refund_facts")
    op.drop_table("order_line_facts")
    op.drop_table("order_facts")
    drop_platform_tables_v1(op.get_bind())
