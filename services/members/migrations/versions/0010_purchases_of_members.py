"""Tiers that were paid for are found by their member."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_tier_purchases_member_id", "tier_purchases", ["member_id"])


def downgrade() -> None:
    op.drop_index("ix_tier_purchases_member_id", "tier_purchases")
