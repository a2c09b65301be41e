"""Rule sets as versions of the earning rules, what they count and know, and refunds by line."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
ZERO = sa.text("0")


def check(name: str, condition: str) -> sa.CheckConstraint:
    # The full name, as the naming convention of the models makes it.
    return sa.CheckConstraint(condition, name=op.f(f"ck_{name}"))


def upgrade() -> None:
    for column in (
        sa.Column("name", sa.Text),
        sa.Column("terms", sa.JSON),
        sa.Column("terms_id", sa.Uuid),
        sa.Column("ended_at", INSTANT),
        sa.Column("activated_by", sa.Text),
        sa.Column("activated_at", INSTANT),
    ):
        op.add_column("earning_rules", column)
    op.alter_column("earning_rules", "points_per_unit", nullable=True)
    op.alter_column("earning_rules", "effective_at", nullable=True)
    for name, condition in (
        ("form", "(points_per_unit IS NULL) = (terms IS NOT NULL)"),
        ("terms_id", "(terms IS NULL) = (terms_id IS NULL)"),
        ("ended_at", "ended_at >= effective_at"),
    ):
        op.create_check_constraint(op.f(f"ck_earning_rules_{name}"), "earning_rules", condition)
    op.add_column(
        "order_refunds", sa.Column("shipping_minor", sa.BigInteger, nullable=False, server_default=ZERO)
    )
    op.add_column("order_refunds", sa.Column("lines", sa.JSON))
    op.create_table(
        "cap_usage",
        sa.Column("subject_id", sa.Uuid, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "period", "starts_on", name="pk_cap_usage"),
        check("cap_usage_points", "points >= 0"),
    )
    op.create_table(
        "member_birthdays",
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("member_id", name="pk_member_birthdays"),
    )


def downgrade() -> None:
    op.drop_table("member_birthdays")
    op.drop_table("cap_usage")
    op.drop_column("order_refunds", "lines")
    op.drop_column("order_refunds", "shipping_minor")
    op.execute("DELETE FROM earning_rules WHERE terms IS NOT NULL OR effective_at IS NULL")
    op.alter_column("earning_rules", "points_per_unit", nullable=False)
    op.alter_column("earning_rules", "effective_at", nullable=False)
    for name in ("name", "terms", "terms_id", "ended_at", "activated_by", "activated_at"):
        op.drop_column("earning_rules", name)
