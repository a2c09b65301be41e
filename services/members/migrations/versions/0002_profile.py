"""Tags by source, groups, the operator's attributes, and when members are celebrated.

Members who have said a birthday already are due at once: the job then finds out when they are celebrated.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("clock_timestamp()")


def _of_member(table: str) -> tuple[sa.Column[object], sa.ForeignKeyConstraint]:
    return (
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["members.id"],
            name=f"fk_{table}_member_id",
            deferrable=True,
            initially="DEFERRED",
        ),
    )


def _create_groups() -> None:
    op.create_table(
        "member_groups",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("name", name="pk_member_groups"),
    )
    op.create_table(
        "group_memberships",
        *_of_member("group_memberships"),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("added_by", sa.Text, nullable=False),
        sa.Column("added_at", INSTANT, nullable=False, server_default=NOW),
        sa.ForeignKeyConstraint(
            ["group_name"], ["member_groups.name"], name="fk_group_memberships_group_name"
        ),
        sa.PrimaryKeyConstraint("member_id", "group_name", name="pk_group_memberships"),
    )
    op.create_index("ix_group_memberships_group_name", "group_memberships", ["group_name", "member_id"])


def _create_attributes() -> None:
    op.create_table(
        "attribute_schemas",
        sa.Column("version", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("schema", JSONB, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("version", name="pk_attribute_schemas"),
    )
    op.create_table(
        "member_attributes",
        *_of_member("member_attributes"),
        sa.Column("attributes", JSONB, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("member_id", name="pk_member_attributes"),
    )


def _create_birthdays() -> None:
    op.create_table(
        "birthdays",
        *_of_member("birthdays"),
        sa.Column("birthday_year", sa.Integer),
        sa.Column("next_at", INSTANT),
        sa.Column("celebrated_year", sa.Integer),
        sa.Column("celebrated_on", sa.Date),
        sa.PrimaryKeyConstraint("member_id", name="pk_birthdays"),
    )
    op.create_index(
        "ix_birthdays_next_at", "birthdays", ["next_at"], postgresql_where=sa.text("next_at IS NOT NULL")
    )
    op.create_table(
        "birthday_changes",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        *_of_member("birthday_changes"),
        sa.Column("is_first", sa.Boolean, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False, server_default=NOW),
        sa.PrimaryKeyConstraint("id", name="pk_birthday_changes"),
    )
    op.create_index("ix_birthday_changes_member_id", "birthday_changes", ["member_id", "recorded_at"])
    op.execute(
        "INSERT INTO birthdays (member_id, next_at)"
        " SELECT id, clock_timestamp() FROM members WHERE birthday IS NOT NULL"
    )


def upgrade() -> None:
    op.execute("ALTER TABLE tags DROP CONSTRAINT pk_tags")
    op.create_primary_key("pk_tags", "tags", ["member_id", "tag", "source"])
    _create_groups()
    _create_attributes()
    _create_birthdays()


def downgrade() -> None:
    for table in (
        "birthday_changes",
        "birthdays",
        "member_attributes",
        "attribute_schemas",
        "group_memberships",
        "member_groups",
    ):
        op.drop_table(table)
    # A tag of two sources keeps the one that holds it longest.
    op.execute(
        "DELETE FROM tags USING tags AS other WHERE tags.member_id = other.member_id AND tags.tag = other.tag"
        " AND (coalesce(tags.expires_at, 'infinity'), tags.source)"
        " < (coalesce(other.expires_at, 'infinity'), other.source)"
    )
    op.execute("ALTER TABLE tags DROP CONSTRAINT pk_tags")
    op.create_primary_key("pk_tags", "tags", ["member_id", "tag"])
