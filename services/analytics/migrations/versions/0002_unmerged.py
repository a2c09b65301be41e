"""Merges that were undone."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IDENTITIES = """
    CREATE OR REPLACE VIEW member_identities AS
    WITH RECURSIVE chain AS (
        SELECT merged_id AS member_id, surviving_id AS person_id, 1 AS steps FROM member_aliases
        WHERE surviving_id IS NOT NULL
        UNION ALL
        SELECT chain.member_id, known.surviving_id, chain.steps + 1
        FROM chain JOIN member_aliases AS known ON known.merged_id = chain.person_id
        WHERE known.surviving_id <> chain.member_id
    ) CYCLE person_id SET circular USING path
    SELECT DISTINCT ON (member_id) member_id, person_id
    FROM chain
    WHERE NOT circular
    ORDER BY member_id, steps DESC
"""


def upgrade() -> None:
    op.alter_column("member_aliases", "surviving_id", nullable=True)
    op.add_column("member_aliases", sa.Column("revision", sa.BigInteger, server_default="0", nullable=False))
    op.execute(IDENTITIES)


def downgrade() -> None:
    op.execute("DELETE FROM member_aliases WHERE surviving_id IS NULL")
    op.execute(IDENTITIES.replace("WHERE surviving_id IS NOT NULL", ""))
    op.drop_column("member_aliases", "revision")
    op.alter_column("member_aliases", "surviving_id", nullable=False)
