"""Keep the order of a key's events where who wrote the later one had begun first."""

from alembic import op

from shared.platform_migrations import hold_back_outbox_rows_v2, release_outbox_rows_v2

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    hold_back_outbox_rows_v2(op.get_bind())


def downgrade() -> None:
    release_outbox_rows_v2(op.get_bind())
