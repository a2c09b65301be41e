"""Refunds that say their currency."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("refunds", sa.Column("currency", sa.Text))


def downgrade() -> None:
    op.drop_column("refunds", "currency")
