"""The tier that each member holds, as points hear of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "member_tiers",
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("tier", sa.Text),
        sa.Column("points_multiplier_percent", sa.Integer),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("member_id", name="pk_member_tiers"),
        sa.CheckConstraint(
            "points_multiplier_percent > 0", name=op.f("ck_member_tiers_points_multiplier_percent")
        ),
    )


def downgrade() -> None:
    op.drop_table("member_tiers")
