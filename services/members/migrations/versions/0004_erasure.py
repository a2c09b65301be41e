"""Erasing members: when it was done, and which names of old were theirs, as keyed hashes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("members", sa.Column("erased_at", INSTANT))
    op.create_table(
        "erased_identities",
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("erased_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "member_id", name="pk_erased_identities"),
    )


def downgrade() -> None:
    op.drop_table("erased_identities")
    op.drop_column("members", "erased_at")
