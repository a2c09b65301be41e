"""Find what was spent on an order by what the spending was about: that has an index."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nothing writes the table before this release, so that it can be made anew.
    op.drop_table("order_spends")
    op.create_table(
        "order_spends",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("about_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "about_id", name="pk_order_spends"),
    )


def downgrade() -> None:
    op.drop_table("order_spends")
    op.create_table(
        "order_spends",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("entry_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "entry_id", name="pk_order_spends"),
    )
