"""Keep the end of each account's chain in the account, where every posting looks anyway.

`head_sequence` is the entry whose hash `head` is. A release that does not know the two leaves them behind;
then, as for an account whose last entry has no hash, who next locks the account looks the hash up.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

FILL = """
    UPDATE accounts SET head = entries.hash, head_sequence = entries.sequence FROM entries
    WHERE entries.member_id = accounts.member_id AND entries.sequence = accounts.sequence
          AND entries.hash IS NOT NULL
"""


def upgrade() -> None:
    op.add_column("accounts", sa.Column("head", sa.LargeBinary, server_default=sa.text("''"), nullable=False))
    op.add_column(
        "accounts", sa.Column("head_sequence", sa.BigInteger, server_default=sa.text("0"), nullable=False)
    )
    # A million accounts take longer than a statement may usually take.
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute(FILL)


def downgrade() -> None:
    op.drop_column("accounts", "head_sequence")
    op.drop_column("accounts", "head")
