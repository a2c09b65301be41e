"""Tiers with windows, periods and locks; lifecycle stages; what both did, and points earned by day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")
NO = sa.text("false")


def _member_id() -> "sa.Column[object]":
    return sa.Column("member_id", sa.Uuid, nullable=False)


def _of_member(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["member_id"], ["members.id"], name=f"fk_{table}_member_id", deferrable=True, initially="DEFERRED"
    )


def _widen_members() -> None:
    for column in (
        sa.Column("purchases_count", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("first_purchase_at", INSTANT),
        sa.Column("last_purchase_at", INSTANT),
        sa.Column("has_tier_terms", sa.Boolean, nullable=False, server_default=NO),
        sa.Column("stage", sa.Text, nullable=False, server_default=sa.text("'identification'")),
        sa.Column("stage_since", INSTANT),
        sa.Column("stage_look_at", INSTANT),
        sa.Column("stage_is_stale", sa.Boolean, nullable=False, server_default=NO),
    ):
        op.add_column("members", column)
    # Those who were there before are judged by the job, from their orders.
    op.execute(
        """
        UPDATE members SET purchases_count = o.purchases, first_purchase_at = o.first_at,
            last_purchase_at = o.last_at, stage_is_stale = true, stage_look_at = clock_timestamp()
        FROM (SELECT member_id, count(*) AS purchases, min(paid_at) AS first_at, max(paid_at) AS last_at
              FROM orders WHERE paid_at IS NOT NULL AND cancelled_at IS NULL
                AND NOT (refunded_minor > 0 AND refunded_minor = total_minor)
              GROUP BY member_id) AS o
        WHERE o.member_id = members.id
        """
    )
    op.create_index(
        "ix_members_stage_look_at",
        "members",
        ["stage_look_at"],
        postgresql_where=sa.text("stage_look_at IS NOT NULL"),
    )


def _create_program() -> None:
    op.alter_column("tiers", "min_spend_minor", nullable=True)
    op.add_column("tiers", sa.Column("min_orders", sa.BigInteger))
    op.add_column("tiers", sa.Column("min_points", sa.BigInteger))
    op.create_check_constraint(op.f("ck_tiers_min_orders"), "tiers", "min_orders >= 0")
    op.create_check_constraint(op.f("ck_tiers_min_points"), "tiers", "min_points >= 0")
    op.create_table(
        "tier_policies",
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("policy", JSONB, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("version", name="pk_tier_policies"),
    )
    # An empty object is the policy that held before there were any: all spend counts, and for ever.
    op.execute(
        "INSERT INTO tier_policies (version, policy, actor)"
        " SELECT DISTINCT version, '{}'::jsonb, 'regulars' FROM tiers"
    )
    lifecycles = op.create_table(
        "lifecycles",
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("rules", JSONB, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        # Whom the rules have reached, in the order of ids; null in the beginning.
        sa.Column("swept_to", sa.Uuid),
        sa.Column("is_swept", sa.Boolean, nullable=False, server_default=NO),
        sa.PrimaryKeyConstraint("version", name="pk_lifecycles"),
    )
    op.bulk_insert(lifecycles, [{"version": 1, "rules": {}, "actor": "regulars", "is_swept": True}])


def _create_standing() -> None:
    op.create_table(
        "tier_terms",
        _member_id(),
        sa.Column("counts_from", sa.Date),
        sa.Column("ends_at", INSTANT),
        sa.Column("falls_at", INSTANT),
        sa.Column("falls_reason", sa.Text),
        sa.Column("is_given", sa.Boolean, nullable=False),
        sa.Column("lock_tier", sa.Text),
        sa.Column("lock_until", INSTANT),
        sa.Column("lock_actor", sa.Text),
        sa.Column("lock_reason", sa.Text),
        sa.Column("locked_at", INSTANT),
        sa.Column("look_at", INSTANT),
        sa.PrimaryKeyConstraint("member_id", name="pk_tier_terms"),
        _of_member("tier_terms"),
        postgresql_with={"fillfactor": 85},
    )
    op.create_index(
        "ix_tier_terms_look_at",
        "tier_terms",
        ["look_at"],
        postgresql_where=sa.text("look_at IS NOT NULL"),
    )
    op.create_table(
        "points_by_day",
        _member_id(),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("member_id", "day", name="pk_points_by_day"),
        postgresql_with={"fillfactor": 85},
    )
    op.create_table(
        "tier_purchases",
        sa.Column("redemption_id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("tier", sa.Text),
        sa.Column("declined_reason", sa.Text),
        sa.Column("until", INSTANT),
        sa.Column("decided_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("redemption_id", name="pk_tier_purchases"),
    )


def _create_history() -> None:
    op.create_table(
        "tier_history",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _member_id(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("from_tier", sa.Text),
        sa.Column("to_tier", sa.Text),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("until", INSTANT),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column("spend_minor", sa.BigInteger),
        sa.Column("orders", sa.BigInteger),
        sa.Column("points", sa.BigInteger),
        sa.Column("tier_version", sa.Integer, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_tier_history"),
        _of_member("tier_history"),
    )
    op.create_index("ix_tier_history_member_id", "tier_history", ["member_id", "id"])
    op.create_table(
        "stage_history",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _member_id(),
        sa.Column("from_stage", sa.Text, nullable=False),
        sa.Column("to_stage", sa.Text, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("purchases", sa.Integer, nullable=False),
        sa.Column("recency_days", sa.Integer, nullable=False),
        sa.Column("expected_interval_days", sa.Integer, nullable=False),
        sa.Column("strategy", sa.Text),
        sa.Column("rules_version", sa.Integer, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_stage_history"),
        _of_member("stage_history"),
    )
    op.create_index("ix_stage_history_member_id", "stage_history", ["member_id", "id"])


def upgrade() -> None:
    _widen_members()
    _create_program()
    _create_standing()
    _create_history()


def downgrade() -> None:
    for table in (
        "stage_history",
        "tier_history",
        "tier_purchases",
        "points_by_day",
        "tier_terms",
        "lifecycles",
        "tier_policies",
    ):
        op.drop_table(table)
    op.drop_constraint(op.f("ck_tiers_min_points"), "tiers")
    op.drop_constraint(op.f("ck_tiers_min_orders"), "tiers")
    op.drop_column("tiers", "min_points")
    op.drop_column("tiers", "min_orders")
    op.execute("DELETE FROM tiers WHERE min_spend_minor IS NULL")
    op.alter_column("tiers", "min_spend_minor", nullable=False)
    op.drop_index("ix_members_stage_look_at", "members")
    for column in (
        "stage_is_stale",
        "stage_look_at",
        "stage_since",
        "stage",
        "has_tier_terms",
        "last_purchase_at",
        "first_purchase_at",
        "purchases_count",
    ):
        op.drop_column("members", column)
