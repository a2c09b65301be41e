"""Tables of what members hold in the program: tiers and their terms, stages, and how both came about."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.members.models.base import INSTANT, ROOM, member_column, metadata, stamp_column

__all__ = [
    "lifecycles",
    "points_by_day",
    "stage_history",
    "tier_history",
    "tier_policies",
    "tier_purchases",
    "tier_terms",
    "tiers",
]

# Every version of the tier table stays, so that one can tell by which a member was judged.
tiers = Table(
    "tiers",
    metadata,
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("min_spend_minor", BigInteger),
    Column("min_orders", BigInteger),
    Column("min_points", BigInteger),
    Column("benefits", JSONB, nullable=False, server_default=text("'{}'")),
    stamp_column("created_at"),
    PrimaryKeyConstraint("version", "name", name="pk_tiers"),
    UniqueConstraint("version", "rank", name="uq_tiers_rank"),
    CheckConstraint("min_spend_minor >= 0", name="min_spend_minor"),
    CheckConstraint("min_orders >= 0", name="min_orders"),
    CheckConstraint("min_points >= 0", name="min_points"),
)

# Window, period and the rest of each version of the tier table; what is left out is as it is by default.
tier_policies = Table(
    "tier_policies",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("policy", JSONB, nullable=False),
    Column("actor", Text, nullable=False),
    stamp_column("created_at"),
)

# Every version of the rules that stages are judged by, and how far each has reached the members there are.
lifecycles = Table(
    "lifecycles",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rules", JSONB, nullable=False),
    Column("actor", Text, nullable=False),
    stamp_column("created_at"),
    # Whom the rules have reached, in the order of ids; null in the beginning.
    Column("swept_to", Uuid),
    Column("is_swept", Boolean, nullable=False, server_default=text("false")),
)

# On which terms members hold their tiers, for those whose terms are not plain.
tier_terms = Table(
    "tier_terms",
    metadata,
    member_column(primary_key=True),
    Column("counts_from", Date),
    Column("ends_at", INSTANT),
    Column("falls_at", INSTANT),
    Column("falls_reason", Text),
    Column("is_given", Boolean, nullable=False),
    Column("lock_tier", Text),
    Column("lock_until", INSTANT),
    Column("lock_actor", Text),
    Column("lock_reason", Text),
    Column("locked_at", INSTANT),
    # When time alone may change the tier next.
    Column("look_at", INSTANT),
    Index("ix_tier_terms_look_at", "look_at", postgresql_where=text("look_at IS NOT NULL")),
    postgresql_with=ROOM,
)

# Points earned, less what was clawed back, by the day of the earning in the program's zone. There is no
# foreign key: what points say of a member whom this service has lost sight of is no reason to stop hearing.
points_by_day = Table(
    "points_by_day",
    metadata,
    Column("member_id", Uuid, nullable=False),
    Column("day", Date, nullable=False),
    Column("points", BigInteger, nullable=False),
    PrimaryKeyConstraint("member_id", "day", name="pk_points_by_day"),
    postgresql_with=ROOM,
)

# Tiers that were paid for in points: given, or declined for a reason.
tier_purchases = Table(
    "tier_purchases",
    metadata,
    Column("redemption_id", Uuid, primary_key=True),
    Column("member_id", Uuid, nullable=False),
    Column("tier", Text),
    Column("declined_reason", Text),
    Column("until", INSTANT),
    Column("decided_at", INSTANT, nullable=False),
    Index("ix_tier_purchases_member_id", "member_id"),
)

# What befell the tiers of members, in the order in which it was found out. Rows are only ever added.
tier_history = Table(
    "tier_history",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    member_column(),
    Column("kind", Text, nullable=False),
    Column("from_tier", Text),
    Column("to_tier", Text),
    Column("at", INSTANT, nullable=False),
    Column("until", INSTANT),
    Column("reason", Text, nullable=False),
    Column("actor", Text),
    Column("spend_minor", BigInteger),
    Column("orders", BigInteger),
    Column("points", BigInteger),
    Column("tier_version", Integer, nullable=False),
    stamp_column("recorded_at"),
    Index("ix_tier_history_member_id", "member_id", "id"),
)

# The stages that were said of members. A late order that changes the past adds what holds now, and leaves
# what was said before as it was said.
stage_history = Table(
    "stage_history",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    member_column(),
    Column("from_stage", Text, nullable=False),
    Column("to_stage", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("reason", Text, nullable=False),
    Column("purchases", Integer, nullable=False),
    Column("recency_days", Integer, nullable=False),
    Column("expected_interval_days", Integer, nullable=False),
    Column("strategy", Text),
    Column("rules_version", Integer, nullable=False),
    stamp_column("recorded_at"),
    Index("ix_stage_history_member_id", "member_id", "id"),
)
