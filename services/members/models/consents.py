"""Tables of what members agree to: what holds, and what was said."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from services.members.models.base import INSTANT, member_column, metadata, stamp_column

__all__ = ["consent_log", "consents"]


def _statement_columns() -> "list[Column[object]]":
    return [
        member_column(),
        Column("channel", Text, nullable=False),
        Column("purpose", Text, nullable=False),
        Column("granted", Boolean, nullable=False),
        Column("stated_at", INSTANT, nullable=False),
        Column("wording_hash", Text),
        Column("source", Text, nullable=False),
    ]


consents = Table(
    "consents",
    metadata,
    *_statement_columns(),
    # Since when it holds, if a merge or an unmerge brought an older word into force.
    Column("effective_at", INSTANT),
    PrimaryKeyConstraint("member_id", "channel", "purpose", name="pk_consents"),
)

# The evidence: what was said, by whom, in which words. Rows are only ever added.
consent_log = Table(
    "consent_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    *_statement_columns(),
    Column("actor", Text, nullable=False),
    stamp_column("recorded_at"),
    UniqueConstraint(
        "member_id", "channel", "purpose", "stated_at", "granted", name="uq_consent_log_statement"
    ),
)
