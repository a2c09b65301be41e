"""Members that are one person."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aliases",
        sa.Column("merged_id", sa.Uuid, nullable=False),
        sa.Column("surviving_id", sa.Uuid),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("merged_id", name=op.f("pk_aliases")),
    )
    op.create_index("ix_aliases_surviving_id", "aliases", ["surviving_id"])


def downgrade() -> None:
    op.drop_table("aliases")
