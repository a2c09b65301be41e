"""Referrals: who brought whom to a group, and what it earned them."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
STATUSES = "('waiting', 'granted', 'refused', 'taken_back')"


def upgrade() -> None:
    op.create_table(
        "share_links",
        sa.Column("link_id", sa.Uuid, nullable=False),
        sa.Column("sharer_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("link_id", name="pk_share_links"),
    )
    op.create_table(
        "referrals",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("referred_id", sa.Uuid, nullable=False),
        sa.Column("link_id", sa.Uuid, nullable=False),
        sa.Column("paid_at", INSTANT, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'waiting'")),
        sa.Column("refusal", sa.Text),
        sa.Column("referrer_id", sa.Uuid),
        sa.Column("entry_id", sa.Uuid),
        sa.Column("rule_version", sa.Integer),
        sa.Column("points", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("order_id", name="pk_referrals"),
        sa.CheckConstraint(f"status IN {STATUSES}", name=op.f("ck_referrals_status")),
        sa.CheckConstraint("points >= 0", name=op.f("ck_referrals_points")),
        sa.CheckConstraint("(status = 'refused') = (refusal IS NOT NULL)", name=op.f("ck_referrals_refusal")),
        sa.CheckConstraint(
            "(status IN ('granted', 'taken_back')) = (entry_id IS NOT NULL)",
            name=op.f("ck_referrals_entry_id"),
        ),
    )
    op.create_index("ix_referrals_referred_id", "referrals", ["referred_id"])
    op.create_index(
        "ix_referrals_waiting", "referrals", ["link_id"], postgresql_where=sa.text("status = 'waiting'")
    )


def downgrade() -> None:
    op.drop_table("referrals")
    op.drop_table("share_links")
