"""Points moved by hand with four eyes, and the audit that goes round."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")
ZERO = sa.text("0")


def check(name: str, condition: str) -> sa.CheckConstraint:
    # The full name, as the naming convention of the models makes it.
    return sa.CheckConstraint(condition, name=op.f(f"ck_{name}"))


def upgrade() -> None:
    _create_adjustments()
    _create_rounds()


def _create_adjustments() -> None:
    op.create_table(
        "adjustments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("allow_debt", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("lapses_at", INSTANT),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", INSTANT),
        sa.Column("decision_reason", sa.Text),
        sa.Column("entry_id", sa.Uuid),
        sa.PrimaryKeyConstraint("id", name="pk_adjustments"),
        check("adjustments_points", "points <> 0"),
        check(
            "adjustments_status",
            "status IN ('posted', 'pending_approval', 'approved', 'rejected', 'lapsed')",
        ),
        check("adjustments_entry_id", "(status IN ('posted', 'approved')) = (entry_id IS NOT NULL)"),
        check("adjustments_decided_at", "(decided_at IS NULL) = (status IN ('posted', 'pending_approval'))"),
        check("adjustments_lapses_at", "status = 'posted' OR lapses_at IS NOT NULL"),
        check("adjustments_four_eyes", "decided_by <> actor"),
        check("adjustments_allow_debt", "points < 0 OR NOT allow_debt"),
        check("adjustments_expires_at", "points > 0 OR expires_at IS NULL"),
    )
    op.create_index("ix_adjustments_member_id", "adjustments", ["member_id", "requested_at"])
    op.create_index(
        "ix_adjustments_pending",
        "adjustments",
        ["lapses_at"],
        postgresql_where=sa.text("status = 'pending_approval'"),
    )


def _create_rounds() -> None:
    op.create_table(
        "audit_rounds",
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("after_id", sa.Uuid),
        sa.Column("rounds", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("checked", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("findings", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("latest_findings", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("began_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("what", name="pk_audit_rounds"),
        check("audit_rounds_what", "what IN ('accounts', 'lots')"),
    )
    op.execute("INSERT INTO audit_rounds (what) VALUES ('accounts'), ('lots')")


def downgrade() -> None:
    op.drop_table("audit_rounds")
    op.drop_table("adjustments")
