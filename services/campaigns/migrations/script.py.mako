"""${message}"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Expand only: the release before this one keeps working."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo the expansion."""
    ${downgrades if downgrades else "pass"}
