"""The ledger, whole: pending points, holds, reversals, transfers, sliding expiry and merged members."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")
ZERO = sa.text("0")
NO = sa.text("false")


def check(name: str, condition: str) -> sa.CheckConstraint:
    # The full name, as the naming convention of the models makes it.
    return sa.CheckConstraint(condition, name=op.f(f"ck_{name}"))


def replace_check(table: str, name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def upgrade() -> None:
    _widen_accounts()
    _widen_entries()
    _widen_lots()
    _create_holds()


def _widen_accounts() -> None:
    for name in ("adjusted_points", "transferred_points", "forfeited_points"):
        op.add_column("accounts", sa.Column(name, sa.BigInteger, nullable=False, server_default=ZERO))
    op.add_column("accounts", sa.Column("merged_into", sa.Uuid))
    op.add_column("accounts", sa.Column("sliding_policy", sa.Text))
    op.add_column("accounts", sa.Column("sliding_expires_at", INSTANT))
    replace_check(
        "accounts",
        "lifetime_points",
        "earned_points >= 0 AND spent_points >= 0 AND expired_points >= 0 AND clawed_back_points >= 0"
        " AND forfeited_points >= 0",
    )
    replace_check(
        "accounts",
        "balance",
        "open_points + pending_points - debt_points = earned_points - spent_points - expired_points"
        " - clawed_back_points - forfeited_points + adjusted_points + transferred_points",
    )
    op.create_check_constraint(
        op.f("ck_accounts_merged_into"),
        "accounts",
        "merged_into IS NULL OR (merged_into <> member_id AND open_points = 0 AND pending_points = 0"
        " AND debt_points = 0)",
    )
    op.create_index(
        "ix_accounts_merged_into",
        "accounts",
        ["merged_into"],
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )


def _widen_entries() -> None:
    op.add_column("entries", sa.Column("origin_id", sa.Uuid))
    replace_check(
        "entries",
        "kind",
        "(kind, contra) IN (('earn', 'issuance'), ('claw_back', 'issuance'), ('redeem', 'redemption'),"
        " ('expire', 'expiry'), ('adjust', 'adjustment'), ('opening', 'issuance'), ('repay', 'issuance'),"
        " ('transfer_in', 'transfer'), ('transfer_out', 'transfer'), ('merge_in', 'transfer'),"
        " ('merge_out', 'transfer'), ('forfeit', 'forfeit')) OR (kind = 'reverse' AND contra IN"
        " ('issuance', 'redemption', 'expiry', 'adjustment', 'transfer', 'forfeit'))",
    )
    replace_check(
        "entries",
        "sign",
        "CASE WHEN kind IN ('earn', 'opening', 'transfer_in') THEN points >= 0"
        " WHEN kind IN ('claw_back', 'redeem', 'expire', 'transfer_out', 'forfeit') THEN points <= 0"
        " WHEN kind = 'repay' THEN points = 0 ELSE true END",
    )


def _widen_lots() -> None:
    op.add_column("lots", sa.Column("pending", sa.Boolean, nullable=False, server_default=NO))
    op.add_column("lots", sa.Column("matures_at", INSTANT))
    op.add_column("lots", sa.Column("sliding", sa.Boolean, nullable=False, server_default=NO))
    op.add_column("lots", sa.Column("pinned_points", sa.BigInteger, nullable=False, server_default=ZERO))
    op.add_column("lots", sa.Column("origin_id", sa.Uuid))
    op.add_column("lots", sa.Column("parent_id", sa.Uuid))
    for name, condition in (
        ("pinned_points", "pinned_points BETWEEN 0 AND remaining_points"),
        ("pending", "pinned_points = 0 OR NOT pending"),
        ("sliding", "expires_at IS NULL OR NOT sliding"),
    ):
        op.create_check_constraint(op.f(f"ck_lots_{name}"), "lots", condition)
    op.create_index(
        "ix_lots_pending", "lots", ["member_id"], postgresql_where=sa.text("pending AND remaining_points > 0")
    )
    op.add_column(
        "lot_moves", sa.Column("returned_points", sa.BigInteger, nullable=False, server_default=ZERO)
    )
    op.create_check_constraint(
        op.f("ck_lot_moves_returned_points"), "lot_moves", "returned_points BETWEEN 0 AND points"
    )
    # A reversal asks which lots an entry took from.
    op.create_index("ix_lot_moves_entry_id", "lot_moves", ["entry_id"])


def _create_holds() -> None:
    op.create_table(
        "order_spends",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("entry_id", sa.Uuid, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "entry_id", name="pk_order_spends"),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("origin_id", sa.Uuid),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("captured_points", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'held'")),
        sa.Column("order_id", sa.Uuid),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("held_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("settled_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_holds"),
        check("holds_points", "points > 0"),
        check("holds_captured_points", "captured_points BETWEEN 0 AND points"),
        check("holds_status", "status IN ('held', 'captured', 'voided', 'expired')"),
        check("holds_captured", "(status = 'captured') = (captured_points > 0)"),
        check("holds_settled_at", "(status = 'held') = (settled_at IS NULL)"),
    )
    held = sa.text("status = 'held'")
    op.create_index("ix_holds_held", "holds", ["member_id"], postgresql_where=held)
    op.create_index("ix_holds_order_id", "holds", ["order_id"], postgresql_where=held)
    op.create_table(
        "hold_lots",
        sa.Column("hold_id", sa.Uuid, nullable=False),
        sa.Column("lot_id", sa.Uuid, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hold_id", "lot_id", name="pk_hold_lots"),
        check("hold_lots_points", "points > 0"),
    )
    op.create_table(
        "member_aliases",
        sa.Column("merged_id", sa.Uuid, nullable=False),
        sa.Column("surviving_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("merged", sa.Boolean, nullable=False),
        sa.Column("debt_points", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("merged_id", name="pk_member_aliases"),
        check("member_aliases_ids", "merged_id <> surviving_id"),
        check("member_aliases_debt_points", "debt_points >= 0"),
    )
    op.create_index("ix_member_aliases_surviving_id", "member_aliases", ["surviving_id"])


def downgrade() -> None:
    for table in ("member_aliases", "hold_lots", "holds", "order_spends"):
        op.drop_table(table)
    op.drop_index("ix_lot_moves_entry_id", "lot_moves")
    op.drop_column("lot_moves", "returned_points")
    for name in ("pending", "matures_at", "sliding", "pinned_points", "origin_id", "parent_id"):
        op.drop_column("lots", name)
    op.drop_column("entries", "origin_id")
    replace_check(
        "entries",
        "kind",
        "(kind, contra) IN (('earn', 'issuance'), ('claw_back', 'issuance'), ('redeem', 'redemption'),"
        " ('expire', 'expiry'))",
    )
    replace_check("entries", "sign", "CASE WHEN kind = 'earn' THEN points >= 0 ELSE points <= 0 END")
    op.drop_constraint(op.f("ck_accounts_merged_into"), "accounts")
    replace_check(
        "accounts",
        "balance",
        "open_points = earned_points - spent_points - expired_points - clawed_back_points + debt_points",
    )
    replace_check(
        "accounts",
        "lifetime_points",
        "earned_points >= 0 AND spent_points >= 0 AND expired_points >= 0 AND clawed_back_points >= 0",
    )
    for name in (
        "adjusted_points",
        "transferred_points",
        "forfeited_points",
        "merged_into",
        "sliding_policy",
        "sliding_expires_at",
    ):
        op.drop_column("accounts", name)
