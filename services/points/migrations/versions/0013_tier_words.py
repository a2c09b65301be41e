"""Tiers know the event that said them, because dates of changes do not ascend."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("member_tiers", sa.Column("event_id", sa.Uuid))


def downgrade() -> None:
    op.drop_column("member_tiers", "event_id")
