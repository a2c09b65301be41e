"""Tags and groups of members, for rules that ask for them."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "member_labels",
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("member_id", "kind", "label", name="pk_member_labels"),
        sa.CheckConstraint("kind IN ('tag', 'group')", name=op.f("ck_member_labels_kind")),
    )


def downgrade() -> None:
    op.drop_table("member_labels")
