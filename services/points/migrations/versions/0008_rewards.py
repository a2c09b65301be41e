"""Five kinds of reward with their terms, fulfilment, standing choices, and the lottery."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")


def check(name: str, condition: str) -> sa.CheckConstraint:
    # The full name, as the naming convention of the models makes it.
    return sa.CheckConstraint(condition, name=op.f(f"ck_{name}"))


def upgrade() -> None:
    _extend_rewards()
    _extend_redemptions()
    _create_choices()
    _create_lottery()
    _create_draws()


REWARD_CHECKS = {
    "kind": "kind IN ('coupon', 'tier_upgrade', 'free_shipping', 'goods', 'gift', 'lottery')",
    "reference": "kind NOT IN ('coupon', 'tier_upgrade', 'goods', 'gift') OR reference IS NOT NULL",
    "period_limit": "(period IS NULL) = (period_limit IS NULL) AND period_limit > 0"
    " AND period IN ('day', 'week', 'month')",
    "cancel_hours": "cancel_hours IS NULL OR kind IN ('goods', 'gift')",
    "max_shipping_minor": "(max_shipping_minor IS NULL) = (max_shipping_currency IS NULL)"
    " AND (max_shipping_minor IS NULL OR (max_shipping_minor > 0 AND kind = 'free_shipping'))",
    "round_hours": "(kind = 'lottery') = (round_hours IS NOT NULL)",
}


def _extend_rewards() -> None:
    for column in (
        sa.Column("period", sa.Text),
        sa.Column("period_limit", sa.Integer),
        sa.Column("tiers", sa.ARRAY(sa.Text)),
        sa.Column("cancel_hours", sa.Integer),
        sa.Column("max_shipping_minor", sa.BigInteger),
        sa.Column("max_shipping_currency", sa.String(3)),
        sa.Column("round_hours", sa.Integer),
    ):
        op.add_column("rewards", column)
    op.drop_constraint(op.f("ck_rewards_kind"), "rewards")
    for name, condition in REWARD_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_rewards_{name}"), "rewards", condition)


REDEMPTION_CHECKS = {
    "points": "points >= 0 AND (points > 0 OR draw_id IS NOT NULL)",
    "status": "status IN ('pending', 'granted', 'declined', 'cancelled')",
    "fulfilment": "fulfilment IN ('requested', 'packed', 'shipped', 'delivered', 'cancelled')",
}


def _extend_redemptions() -> None:
    for column in (
        sa.Column("fulfilment", sa.Text),
        sa.Column("tracking", sa.Text),
        sa.Column("draw_id", sa.Uuid),
        sa.Column("reason", sa.Text),
        sa.Column("changed_at", INSTANT),
    ):
        op.add_column("redemptions", column)
    op.drop_constraint(op.f("ck_redemptions_points"), "redemptions")
    op.drop_constraint(op.f("ck_redemptions_status"), "redemptions")
    for name, condition in REDEMPTION_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_redemptions_{name}"), "redemptions", condition)
    op.drop_index("ix_redemptions_member_id", "redemptions")
    op.create_index("ix_redemptions_member_id", "redemptions", ["member_id", "reward_id", "redeemed_at"])
    for name, columns, condition in (
        ("order_id", ["order_id"], "order_id IS NOT NULL"),
        ("fulfilment", ["fulfilment", "id"], "fulfilment IN ('requested', 'packed', 'shipped')"),
        ("pending", ["redeemed_at"], "status = 'pending'"),
    ):
        op.create_index(f"ix_redemptions_{name}", "redemptions", columns, postgresql_where=sa.text(condition))


def _create_choices() -> None:
    op.create_table(
        "member_choices",
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reward_id", sa.Uuid, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("chosen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("member_id", "kind", name="pk_member_choices"),
        check("member_choices_kind", "kind = 'free_shipping'"),
    )
    op.create_table(
        "order_benefits",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("redemption_id", sa.Uuid),
        sa.Column("reason", sa.Text),
        sa.Column("decided_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_order_benefits"),
        check("order_benefits_status", "status IN ('applied', 'refused', 'cancelled')"),
        check("order_benefits_redemption_id", "status <> 'applied' OR redemption_id IS NOT NULL"),
        check("order_benefits_reason", "(status = 'refused') = (reason IS NOT NULL)"),
    )


def _create_lottery() -> None:
    op.create_table(
        "lottery_odds",
        sa.Column("lottery_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("effective_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("lottery_id", "version", name="pk_lottery_odds"),
    )
    op.create_table(
        "lottery_prizes",
        sa.Column("lottery_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("weight", sa.BigInteger, nullable=False),
        sa.Column("stock", sa.BigInteger),
        sa.Column("points", sa.BigInteger),
        sa.Column("lifetime_days", sa.Integer),
        sa.Column("reward_id", sa.Uuid),
        sa.Column("left_units", sa.BigInteger),
        sa.PrimaryKeyConstraint("lottery_id", "version", "number", name="pk_lottery_prizes"),
        check("lottery_prizes_weight", "weight > 0"),
        check(
            "lottery_prizes_kind",
            "CASE kind WHEN 'nothing' THEN points IS NULL AND reward_id IS NULL AND stock IS NULL"
            " WHEN 'points' THEN points > 0 AND reward_id IS NULL"
            " WHEN 'reward' THEN reward_id IS NOT NULL AND points IS NULL ELSE false END",
        ),
        check("lottery_prizes_stock", "(stock IS NULL) = (left_units IS NULL)"),
        check("lottery_prizes_left_units", "left_units BETWEEN 0 AND stock"),
    )
    op.create_table(
        "lottery_rounds",
        sa.Column("lottery_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.Column("seed", sa.LargeBinary, nullable=False),
        sa.Column("odds_version", sa.Integer, nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("committed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("lottery_id", "number", name="pk_lottery_rounds"),
        check("lottery_rounds_span", "ends_at > starts_at"),
        check("lottery_rounds_seed", "octet_length(seed) = 32"),
        check("lottery_rounds_commitment", "commitment = encode(sha256(seed), 'hex')"),
    )


def _create_draws() -> None:
    op.create_table(
        "draws",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("lottery_id", sa.Uuid, nullable=False),
        sa.Column("round_number", sa.Integer, nullable=False),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.Column("odds_version", sa.Integer, nullable=False),
        sa.Column("odds_digest", sa.String(64), nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("client_nonce", sa.Text, nullable=False),
        sa.Column("draw_number", sa.Integer, nullable=False),
        sa.Column("ticket", sa.BigInteger, nullable=False),
        sa.Column("prize_number", sa.Integer, nullable=False),
        sa.Column("stock_before", sa.BigInteger),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("cost_points", sa.BigInteger, nullable=False),
        sa.Column("drawn_at", INSTANT, nullable=False),
        sa.Column("receipt", sa.String(64), nullable=False),
        sa.Column("prize_redemption_id", sa.Uuid),
        sa.PrimaryKeyConstraint("id", name="pk_draws"),
        sa.UniqueConstraint(
            "lottery_id", "round_number", "member_id", "draw_number", name="uq_draws_lottery_id"
        ),
        check("draws_outcome", "outcome IN ('won', 'nothing', 'exhausted')"),
        check("draws_numbers", "draw_number > 0 AND ticket >= 0"),
        check(
            "draws_stock_before",
            "CASE outcome WHEN 'won' THEN coalesce(stock_before, 1) > 0"
            " WHEN 'exhausted' THEN stock_before = 0 ELSE stock_before IS NULL END",
        ),
    )


def downgrade() -> None:
    for table in (
        "draws",
        "lottery_rounds",
        "lottery_prizes",
        "lottery_odds",
        "order_benefits",
        "member_choices",
    ):
        op.drop_table(table)
    for name in ("order_id", "fulfilment", "pending", "member_id"):
        op.drop_index(f"ix_redemptions_{name}", "redemptions")
    op.create_index("ix_redemptions_member_id", "redemptions", ["member_id", "reward_id"])
    op.execute("DELETE FROM redemptions WHERE points = 0")
    op.execute("UPDATE redemptions SET status = 'granted'")
    for name in REDEMPTION_CHECKS:
        op.drop_constraint(op.f(f"ck_redemptions_{name}"), "redemptions")
    op.create_check_constraint(op.f("ck_redemptions_points"), "redemptions", "points > 0")
    op.create_check_constraint(op.f("ck_redemptions_status"), "redemptions", "status = 'granted'")
    for column in ("fulfilment", "tracking", "draw_id", "reason", "changed_at"):
        op.drop_column("redemptions", column)
    for name in REWARD_CHECKS:
        op.drop_constraint(op.f(f"ck_rewards_{name}"), "rewards")
    op.execute("DELETE FROM rewards WHERE kind <> 'coupon'")
    op.create_check_constraint(op.f("ck_rewards_kind"), "rewards", "kind = 'coupon'")
    for column in (
        "period",
        "period_limit",
        "tiers",
        "cancel_hours",
        "max_shipping_minor",
        "max_shipping_currency",
        "round_hours",
    ):
        op.drop_column("rewards", column)
