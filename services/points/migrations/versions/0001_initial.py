"""The ledger: accounts, entries, lots, refunds, rules, rewards and redemptions."""

import sqlalchemy as sa
from alembic import op

from shared.platform_migrations import create_platform_tables_v1, drop_platform_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")
ZERO = sa.text("0")


def check(name: str, condition: str) -> sa.CheckConstraint:
    # The full name, as the naming convention of the models makes it.
    return sa.CheckConstraint(condition, name=op.f(f"ck_{name}"))


def upgrade() -> None:
    create_platform_tables_v1(op.get_bind())
    _create_accounts()
    _create_entries()
    _create_lots()
    _create_refunds()
    _create_rules()
    _create_rewards()


def _create_accounts() -> None:
    figures = (
        "sequence open_points pending_points held_points debt_points earned_points spent_points "
        "expired_points clawed_back_points"
    )
    op.create_table(
        "accounts",
        sa.Column("member_id", sa.Uuid, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default=ZERO) for name in figures.split()),
        sa.Column("next_expiry_at", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("member_id", name="pk_accounts"),
        check("accounts_open_points", "open_points >= 0"),
        check("accounts_debt_points", "debt_points >= 0"),
        check("accounts_pending_points", "pending_points >= 0"),
        check("accounts_held_points", "held_points BETWEEN 0 AND open_points"),
        check(
            "accounts_lifetime_points",
            "earned_points >= 0 AND spent_points >= 0 AND expired_points >= 0 AND clawed_back_points >= 0",
        ),
        check(
            "accounts_balance",
            "open_points = earned_points - spent_points - expired_points - clawed_back_points + debt_points",
        ),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_accounts_next_expiry_at",
        "accounts",
        ["next_expiry_at"],
        postgresql_where=sa.text("next_expiry_at IS NOT NULL"),
    )


def _create_entries() -> None:
    op.create_table(
        "entries",
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("contra", sa.Text, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("about_id", sa.Uuid, nullable=False),
        sa.Column("reference", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("rule_version", sa.Integer),
        sa.Column("basis_minor", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("member_id", "sequence", name="pk_entries"),
        sa.UniqueConstraint("about_id", "kind", "reference", name="uq_entries_natural_key"),
        check(
            "entries_kind",
            "(kind, contra) IN (('earn', 'issuance'), ('claw_back', 'issuance'), ('redeem', 'redemption'),"
            " ('expire', 'expiry'))",
        ),
        check("entries_sign", "CASE WHEN kind = 'earn' THEN points >= 0 ELSE points <= 0 END"),
        check("entries_rule_version", "kind NOT IN ('earn', 'claw_back') OR rule_version IS NOT NULL"),
    )


def _create_lots() -> None:
    op.create_table(
        "lots",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("remaining_points", sa.BigInteger, nullable=False),
        sa.Column("expired_points", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("earned_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_lots"),
        check("lots_points", "points > 0"),
        check("lots_remaining_points", "remaining_points BETWEEN 0 AND points"),
        check("lots_expired_points", "expired_points BETWEEN 0 AND points - remaining_points"),
    )
    op.create_index(
        "ix_lots_open",
        "lots",
        ["member_id", "expires_at"],
        postgresql_where=sa.text("remaining_points > 0"),
    )
    op.create_table(
        "lot_moves",
        sa.Column("lot_id", sa.Uuid, nullable=False),
        sa.Column("entry_id", sa.Uuid, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("lot_id", "entry_id", name="pk_lot_moves"),
        check("lot_moves_points", "points > 0"),
    )


def _create_refunds() -> None:
    op.create_table(
        "order_refunds",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("refund_id", sa.Text, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("refunded_at", INSTANT, nullable=False),
        sa.Column("heard_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("applied_at", INSTANT),
        sa.Column("clawed_back_points", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.PrimaryKeyConstraint("order_id", "refund_id", name="pk_order_refunds"),
        check("order_refunds_amount_minor", "amount_minor >= 0"),
        check("order_refunds_clawed_back_points", "clawed_back_points >= 0"),
    )
    op.create_index(
        "ix_order_refunds_parked",
        "order_refunds",
        ["order_id"],
        postgresql_where=sa.text("applied_at IS NULL"),
    )


def _create_rules() -> None:
    rules = op.create_table(
        "earning_rules",
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("points_per_unit", sa.BigInteger, nullable=False),
        sa.Column("lot_lifetime_days", sa.Integer),
        sa.Column("effective_at", INSTANT, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("version", name="pk_earning_rules"),
        sa.UniqueConstraint("effective_at", name="uq_earning_rules_effective_at"),
        check("earning_rules_points_per_unit", "points_per_unit BETWEEN 0 AND 1000000"),
        check("earning_rules_lot_lifetime_days", "lot_lifetime_days BETWEEN 1 AND 36500"),
    )
    assert rules is not None
    # A ledger without a rule could judge no order, so the first version is as old as any order can be.
    op.execute(
        "INSERT INTO earning_rules (version, points_per_unit, lot_lifetime_days, effective_at, created_by) "
        "VALUES (1, 1, 365, '1970-01-01T00:00:00Z', 'default')"
    )


def _create_rewards() -> None:
    op.create_table(
        "rewards",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("cost_points", sa.BigInteger, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("stock", sa.BigInteger),
        sa.Column("per_member_limit", sa.Integer),
        sa.Column("starts_at", INSTANT),
        sa.Column("ends_at", INSTANT),
        sa.Column("cost_minor", sa.BigInteger),
        sa.Column("cost_currency", sa.String(3)),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("retired_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_rewards"),
        check("rewards_kind", "kind = 'coupon'"),
        check("rewards_cost_points", "cost_points > 0"),
        check("rewards_stock", "stock >= 0"),
        check("rewards_per_member_limit", "per_member_limit > 0"),
        check("rewards_window", "ends_at > starts_at"),
        check("rewards_cost_minor", "(cost_minor IS NULL) = (cost_currency IS NULL) AND cost_minor >= 0"),
    )
    op.create_table(
        "redemptions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("reward_id", sa.Uuid, nullable=False),
        sa.Column("order_id", sa.Uuid),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("redeemed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_redemptions"),
        check("redemptions_points", "points > 0"),
        check("redemptions_status", "status = 'granted'"),
    )
    op.create_index("ix_redemptions_member_id", "redemptions", ["member_id", "reward_id"])


def downgrade() -> None:
    for table in (
        "redemptions",
        "rewards",
        "earning_rules",
        "order_refunds",
        "lot_moves",
        "lots",
        "entries",
        "accounts",
    ):
        op.drop_table(table)
    drop_platform_tables_v1(op.get_bind())
