"""Addresses as proofs of who somebody is, and suggestions to merge those who share one."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)

# What `domain.proof_of` says of an address that was verified before there were proofs.
FILL = """
    UPDATE contact_points AS c SET proof = p.proof, is_first = p.place = 1
    FROM (
        SELECT q.*, row_number() OVER (PARTITION BY proof ORDER BY added_at, member_id, address) AS place
        FROM (
            SELECT member_id, channel, address, added_at,
                CASE WHEN channel = 'email' THEN 'email:' || lower(address)
                     WHEN channel NOT IN ('phone', 'sms', 'voice', 'whatsapp') THEN channel || ':' || address
                     WHEN address ~ '^[+][1-9][0-9]{6,14}$' THEN 'phone:' || address END AS proof
            FROM contact_points WHERE verified) AS q
        WHERE q.proof IS NOT NULL) AS p
    WHERE (c.member_id, c.channel, c.address) = (p.member_id, p.channel, p.address)
"""


def _member(name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [name],
        ["members.id"],
        name=op.f(f"fk_merge_suggestions_{name}"),
        deferrable=True,
        initially="DEFERRED",
    )


def upgrade() -> None:
    op.add_column("contact_points", sa.Column("proof", sa.Text))
    op.add_column(
        "contact_points",
        sa.Column("is_first", sa.Boolean, nullable=False, server_default=sa.text("false")),
    )
    op.execute(FILL)
    op.create_index(
        "ix_contact_points_proof",
        "contact_points",
        ["proof"],
        postgresql_where=sa.text("proof IS NOT NULL"),
    )
    op.create_index(
        "uq_contact_points_first",
        "contact_points",
        ["proof"],
        unique=True,
        postgresql_where=sa.text("is_first"),
    )
    op.create_table(
        "merge_suggestions",
        sa.Column("one_id", sa.Uuid, nullable=False),
        sa.Column("other_id", sa.Uuid, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("suggested_at", INSTANT, nullable=False, server_default=sa.text("clock_timestamp()")),
        sa.Column("state", sa.Text, nullable=False, server_default=sa.text("'open'")),
        sa.Column("decided_at", INSTANT),
        sa.Column("decided_by", sa.Text),
        sa.PrimaryKeyConstraint("one_id", "other_id", name="pk_merge_suggestions"),
        sa.CheckConstraint("one_id < other_id", name=op.f("ck_merge_suggestions_lower_first")),
        sa.CheckConstraint(
            "state IN ('open', 'accepted', 'dismissed')", name=op.f("ck_merge_suggestions_state")
        ),
        _member("one_id"),
        _member("other_id"),
    )
    op.create_index(
        "ix_merge_suggestions_open",
        "merge_suggestions",
        ["suggested_at"],
        postgresql_where=sa.text("state = 'open'"),
    )


def downgrade() -> None:
    op.drop_table("merge_suggestions")
    op.drop_index("uq_contact_points_first", "contact_points")
    op.drop_index("ix_contact_points_proof", "contact_points")
    op.drop_column("contact_points", "is_first")
    op.drop_column("contact_points", "proof")
