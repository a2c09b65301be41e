"""Orders that were delivered."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("shop_id", sa.Text, nullable=False),
        sa.Column("external_order_id", sa.Text, nullable=False),
        sa.Column("delivered_at", INSTANT, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("received_at", INSTANT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("state IN ('parked', 'applied')", name=op.f("ck_deliveries_state")),
        sa.PrimaryKeyConstraint("source", "shop_id", "external_order_id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "ix_deliveries_state", "deliveries", ["received_at"], postgresql_where=sa.text("state = 'parked'")
    )


def downgrade() -> None:
    op.drop_table("deliveries")
