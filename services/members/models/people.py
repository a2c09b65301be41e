"""Tables of who members are: names, addresses, tags, groups, attributes and birthdays."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.members.models.base import INSTANT, ROOM, member_column, metadata, stamp_column

__all__ = [
    "attribute_schemas",
    "birthday_changes",
    "birthdays",
    "contact_points",
    "group_memberships",
    "identities",
    "member_attributes",
    "member_groups",
    "members",
    "tags",
]

members = Table(
    "members",
    metadata,
    Column("id", Uuid, primary_key=True),
    stamp_column("created_at"),
    Column("display_name", Text),
    Column("locale", Text),
    Column("time_zone", Text),
    Column("country", Text),
    Column("birthday", Date),
    # Attribute -> when its value was said, so that statements can come in any order and the last one holds.
    Column("attributes_stated_at", JSONB, nullable=False, server_default=text("'{}'")),
    Column("tier", Text),
    Column("tier_rank", Integer, nullable=False, server_default=text("-1")),
    Column("tier_changed_at", INSTANT),
    # The version of the tier table that the member was last judged by.
    Column("tier_version", Integer, nullable=False),
    Column("spend_minor", BigInteger, nullable=False, server_default=text("0")),
    Column("orders_count", Integer, nullable=False, server_default=text("0")),
    Column("last_order_at", INSTANT),
    # Paid orders that were neither called off nor refunded whole; the rhythm that stages are judged by.
    Column("purchases_count", Integer, nullable=False, server_default=text("0")),
    Column("first_purchase_at", INSTANT),
    Column("last_purchase_at", INSTANT),
    # Whether `tier_terms` has a row: most members hold their tier on plain terms.
    Column("has_tier_terms", Boolean, nullable=False, server_default=text("false")),
    Column("stage", Text, nullable=False, server_default=text("'identification'")),
    Column("stage_since", INSTANT),
    # When a job looks at the stage next, at the latest. An order makes it no later, so that the index that
    # it is in need not follow every order.
    Column("stage_look_at", INSTANT),
    # Whether the stage has to be judged anew from all orders, because one came or went out of order.
    Column("stage_is_stale", Boolean, nullable=False, server_default=text("false")),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    stamp_column("updated_at"),
    # Nothing personal is left in a row that has it; the id stays, because the books name it.
    Column("erased_at", INSTANT),
    CheckConstraint("spend_minor >= 0", name="spend_minor"),
    Index("ix_members_tier_version", "tier_version", "id"),
    Index("ix_members_stage_look_at", "stage_look_at", postgresql_where=text("stage_look_at IS NOT NULL")),
    postgresql_with=ROOM,
)

identities = Table(
    "identities",
    metadata,
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    member_column(),
    stamp_column("first_seen_at"),
    PrimaryKeyConstraint("source", "external_id", name="pk_identities"),
    Index("ix_identities_member_id", "member_id"),
)

contact_points = Table(
    "contact_points",
    metadata,
    member_column(),
    Column("channel", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("verified", Boolean, nullable=False, server_default=text("false")),
    stamp_column("added_at"),
    # What a verified address proves; who brings the same proof is the same person.
    Column("proof", Text),
    # Whether nobody had proven it before: two who do so at once wait for each other by the index on it.
    Column("is_first", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("member_id", "channel", "address", name="pk_contact_points"),
    Index("ix_contact_points_address", "channel", "address"),
    Index("ix_contact_points_proof", "proof", postgresql_where=text("proof IS NOT NULL")),
    Index("uq_contact_points_first", "proof", unique=True, postgresql_where=text("is_first")),
)

tags = Table(
    "tags",
    metadata,
    member_column(),
    Column("tag", Text, nullable=False),
    Column("source", Text, nullable=False),
    stamp_column("given_at"),
    Column("expires_at", INSTANT),
    # Each source holds a tag for itself: it stays while any of them does.
    PrimaryKeyConstraint("member_id", "tag", "source", name="pk_tags"),
    Index("ix_tags_expires_at", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
)

member_groups = Table(
    "member_groups",
    metadata,
    Column("name", Text, primary_key=True),
    Column("title", Text),
    Column("created_by", Text, nullable=False),
    stamp_column("created_at"),
)

group_memberships = Table(
    "group_memberships",
    metadata,
    member_column(),
    Column("group_name", Text, ForeignKey("member_groups.name"), nullable=False),
    Column("added_by", Text, nullable=False),
    stamp_column("added_at"),
    PrimaryKeyConstraint("member_id", "group_name", name="pk_group_memberships"),
    Index("ix_group_memberships_group_name", "group_name", "member_id"),
)

# Every version stays, so that one can tell by which a member's attributes were accepted.
attribute_schemas = Table(
    "attribute_schemas",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("schema", JSONB, nullable=False),
    Column("created_by", Text, nullable=False),
    stamp_column("created_at"),
)

# Beside the members, because every order writes those and hardly any changes these.
member_attributes = Table(
    "member_attributes",
    metadata,
    member_column(primary_key=True),
    Column("attributes", JSONB, nullable=False),
    Column("schema_version", Integer, nullable=False),
    stamp_column("updated_at"),
)

# When a member is celebrated next, and last was. The date of birth itself is on the member; a row that names
# no instant is one of a member who took the date away again.
birthdays = Table(
    "birthdays",
    metadata,
    member_column(primary_key=True),
    Column("birthday_year", Integer),
    Column("next_at", INSTANT),
    Column("celebrated_year", Integer),
    Column("celebrated_on", Date),
    Index("ix_birthdays_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),
)

# That a birthday was said anew, by whom and when; never which, so that taking it away takes it away.
birthday_changes = Table(
    "birthday_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    member_column(),
    Column("is_first", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    stamp_column("recorded_at"),
    Index("ix_birthday_changes_member_id", "member_id", "recorded_at"),
)
