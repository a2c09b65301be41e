"""Back-tests tell tiers: what members answer, and back-tests that wait for it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_back_tests_status"), "back_tests", type_="check")
    op.create_check_constraint(
        op.f("ck_back_tests_status"), "back_tests", "status IN ('running', 'judging_tiers', 'done')"
    )
    op.create_table(
        "back_test_tiers",
        sa.Column("back_test_id", sa.Uuid, nullable=False),
        sa.Column("part", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("moves", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("back_test_id", "part", name="pk_back_test_tiers"),
    )


def downgrade() -> None:
    op.drop_table("back_test_tiers")
    op.execute("UPDATE back_tests SET status = 'running' WHERE status = 'judging_tiers'")
    op.drop_constraint(op.f("ck_back_tests_status"), "back_tests", type_="check")
    op.create_check_constraint(op.f("ck_back_tests_status"), "back_tests", "status IN ('running', 'done')")
