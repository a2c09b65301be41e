"""Since when a consent holds that a merge or an unmerge brought into force."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("consents", sa.Column("effective_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("consents", "effective_at")
