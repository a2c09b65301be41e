"""Let entries carry details, and chain those of every account by their hashes.

The last entry of each account that exists gets one hash over all that it has so far; every later entry gets
its own. The statement is the one of repository/chain.py as it was when this was written.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ANCHOR = """
    UPDATE entries SET hash = sha256(account.content)
    FROM (
        SELECT entry.member_id, max(entry.sequence) AS sequence, string_agg(
            uuid_send(entry.member_id) || uuid_send(entry.id) || uuid_send(entry.about_id)
            || int8send(entry.sequence) || int8send(entry.points)
            || int8send(coalesce(CAST(entry.rule_version AS bigint), -9223372036854775808))
            || int8send(coalesce(entry.basis_minor, -9223372036854775808))
            || timestamptz_send(entry.occurred_at) || timestamptz_send(entry.recorded_at)
            || convert_to(entry.kind, 'UTF8') || decode('00', 'hex')
            || convert_to(entry.contra, 'UTF8') || decode('00', 'hex')
            || convert_to(entry.reference, 'UTF8') || decode('00', 'hex')
            || convert_to(coalesce(entry.currency, ''), 'UTF8') || decode('00', 'hex')
            || convert_to(entry.actor, 'UTF8') || decode('00', 'hex')
            || convert_to(entry.reason, 'UTF8'),
            decode('', 'hex') ORDER BY entry.sequence
        ) AS content
        FROM entries AS entry
        GROUP BY entry.member_id
    ) AS account
    WHERE entries.member_id = account.member_id AND entries.sequence = account.sequence
"""  # The new column is empty, and empty ones add nothing.


def upgrade() -> None:
    op.add_column("entries", sa.Column("detail", sa.JSON))
    op.add_column("entries", sa.Column("hash", sa.LargeBinary))
    # Ten million entries take a minute or two, which is longer than a statement may usually take.
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute(ANCHOR)


def downgrade() -> None:
    op.drop_column("entries", "hash")
    op.drop_column("entries", "detail")
