"""Members that are one person: aliases, and the history of merges."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def _members(table: str, *columns: str) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint([column], ["members.id"], name=op.f(f"fk_{table}_{column}"))
        for column in columns
    ]


def upgrade() -> None:
    op.create_table(
        "aliases",
        sa.Column("merged_id", sa.Uuid, nullable=False),
        sa.Column("surviving_id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("merged_at", INSTANT, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("merged_id", name=op.f("pk_aliases")),
        sa.CheckConstraint(
            "merged_id <> surviving_id AND merged_id <> person_id", name=op.f("ck_aliases_not_itself")
        ),
        *_members("aliases", "merged_id", "surviving_id", "person_id"),
    )
    op.create_index("ix_aliases_person_id", "aliases", ["person_id"])
    op.create_table(
        "merges",
        sa.Column("merged_id", sa.Uuid, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("surviving_id", sa.Uuid, nullable=False),
        sa.Column("merged_at", INSTANT, nullable=False),
        sa.Column("merged_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("tier_before", JSONB),
        sa.Column("unmerged_at", INSTANT),
        sa.Column("unmerged_by", sa.Text),
        sa.PrimaryKeyConstraint("merged_id", "revision", name=op.f("pk_merges")),
        *_members("merges", "merged_id", "surviving_id"),
    )
    op.create_index("ix_merges_surviving_id", "merges", ["surviving_id"])


def downgrade() -> None:
    op.drop_table("merges")
    op.drop_table("aliases")
