"""Tables of who became whom: merges, their history, pairs that look alike, and names of the erased."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.members.models.base import INSTANT, member_column, metadata, stamp_column

__all__ = ["aliases", "erased_identities", "merge_suggestions", "merges"]

# Who became whose alias. Nothing of a merged member is rewritten: rows go on naming the id that they came
# under. Whoever merges or unmerges locks the whole table against all who lock members, who read it first.
aliases = Table(
    "aliases",
    metadata,
    Column("merged_id", Uuid, ForeignKey("members.id"), primary_key=True),
    Column("surviving_id", Uuid, ForeignKey("members.id"), nullable=False),
    # The end of the chain: A into B and B into C make C the person of both.
    Column("person_id", Uuid, ForeignKey("members.id"), nullable=False),
    Column("merged_at", INSTANT, nullable=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint("merged_id <> surviving_id AND merged_id <> person_id", name="not_itself"),
    Index("ix_aliases_person_id", "person_id"),
)

# Every merge that ever was, and how it ended.
merges = Table(
    "merges",
    metadata,
    Column("merged_id", Uuid, ForeignKey("members.id"), nullable=False),
    # Of the merge; the unmerge has the next one.
    Column("revision", BigInteger, nullable=False),
    Column("surviving_id", Uuid, ForeignKey("members.id"), nullable=False),
    Column("merged_at", INSTANT, nullable=False),
    Column("merged_by", Text, nullable=False),
    Column("reason", Text),
    # What the survivor's tier was without the other one; null once it says nothing any more.
    Column("tier_before", JSONB),
    Column("unmerged_at", INSTANT),
    Column("unmerged_by", Text),
    PrimaryKeyConstraint("merged_id", "revision", name="pk_merges"),
    Index("ix_merges_surviving_id", "surviving_id"),
)

# Two members who proved the same address theirs. The lower id comes first; nobody merges them in silence.
merge_suggestions = Table(
    "merge_suggestions",
    metadata,
    member_column("one_id"),
    member_column("other_id"),
    Column("channel", Text, nullable=False),
    stamp_column("suggested_at"),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("decided_at", INSTANT),
    Column("decided_by", Text),
    PrimaryKeyConstraint("one_id", "other_id", name="pk_merge_suggestions"),
    CheckConstraint("one_id < other_id", name="lower_first"),
    CheckConstraint("state IN ('open', 'accepted', 'dismissed')", name="state"),
    Index("ix_merge_suggestions_open", "suggested_at", postgresql_where=text("state = 'open'")),
)

# What names erased members had, as keyed hashes: an order of theirs from before the erasure that comes late
# belongs to their books and to nobody's profile.
erased_identities = Table(
    "erased_identities",
    metadata,
    Column("fingerprint", LargeBinary, nullable=False),
    Column("member_id", Uuid, nullable=False),
    Column("erased_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("fingerprint", "member_id", name="pk_erased_identities"),
)
