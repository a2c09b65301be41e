"""Deliveries that are heard of before their order."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "early_deliveries",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("delivered_at", INSTANT, nullable=False),
        sa.Column("heard_at", INSTANT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_early_deliveries"),
    )


def downgrade() -> None:
    op.drop_table("early_deliveries")
