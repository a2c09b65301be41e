"""Back-tests: trials of a rule set on orders that have earned."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "back_tests",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("terms", sa.JSON, nullable=False),
        sa.Column("paid_from", INSTANT, nullable=False),
        sa.Column("paid_until", INSTANT, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'running'")),
        sa.Column("after_member_id", sa.Uuid),
        sa.Column("trial", sa.JSON, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.text("clock_timestamp()")),
        sa.Column("finished_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_back_tests"),
        sa.CheckConstraint("status IN ('running', 'done')", name=op.f("ck_back_tests_status")),
        sa.CheckConstraint("paid_from < paid_until", name=op.f("ck_back_tests_window")),
    )
    op.create_index(
        "ix_back_tests_running",
        "back_tests",
        ["created_at"],
        postgresql_where=sa.text("status = 'running'"),
    )


def downgrade() -> None:
    op.drop_table("back_tests")
