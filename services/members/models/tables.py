"""Tables of members.

Every writer of an order, a refund or a cancellation locks the member's row first, in the order of ids; that
row is the aggregate, and the lock is what keeps the events of one member in order. Foreign keys to members
are checked at the commit, so that a new member can be written once, with all that its first batch brought.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from shared.database import new_metadata
from shared.platform_tables import add_platform_tables

__all__ = ["INSTANT", "NOW", "ROOM", "Base", "member_column", "metadata"]


class Base(DeclarativeBase):
    """Declarative base that carries the tables every service has."""

    metadata = new_metadata()


add_platform_tables(Base.metadata)
metadata = Base.metadata

INSTANT = DateTime(timezone=True)
NOW = text("clock_timestamp()")
# Rows that change soon after they were written keep room on their page, so that no index has to follow.
ROOM = {"fillfactor": 85}


def member_column(*, primary_key: bool = False) -> "Column[object]":
    return Column(
        "member_id",
        Uuid,
        ForeignKey("members.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
        primary_key=primary_key,
    )


members = Table(
    "members",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("created_at", INSTANT, nullable=False, server_default=NOW),
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
    Column("updated_at", INSTANT, nullable=False, server_default=NOW),
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
    Column("first_seen_at", INSTANT, nullable=False, server_default=NOW),
    PrimaryKeyConstraint("source", "external_id", name="pk_identities"),
    Index("ix_identities_member_id", "member_id"),
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

contact_points = Table(
    "contact_points",
    metadata,
    member_column(),
    Column("channel", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("verified", Boolean, nullable=False, server_default=text("false")),
    Column("added_at", INSTANT, nullable=False, server_default=NOW),
    # What a verified address proves; who brings the same proof is the same person.
    Column("proof", Text),
    # Whether nobody had proven it before: two who do so at once wait for each other by the index on it.
    Column("is_first", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("member_id", "channel", "address", name="pk_contact_points"),
    Index("ix_contact_points_address", "channel", "address"),
    Index("ix_contact_points_proof", "proof", postgresql_where=text("proof IS NOT NULL")),
    Index("uq_contact_points_first", "proof", unique=True, postgresql_where=text("is_first")),
)

consents = Table(
    "consents",
    metadata,
    member_column(),
    Column("channel", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("granted", Boolean, nullable=False),
    Column("stated_at", INSTANT, nullable=False),
    Column("wording_hash", Text),
    Column("source", Text, nullable=False),
    # Since when it holds, if a merge or an unmerge brought an older word into force.
    Column("effective_at", INSTANT),
    PrimaryKeyConstraint("member_id", "channel", "purpose", name="pk_consents"),
)

# The evidence: what was said, by whom, in which words. Rows are only ever added.
consent_log = Table(
    "consent_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    member_column(),
    Column("channel", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("granted", Boolean, nullable=False),
    Column("stated_at", INSTANT, nullable=False),
    Column("wording_hash", Text),
    Column("source", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("recorded_at", INSTANT, nullable=False, server_default=NOW),
    UniqueConstraint(
        "member_id", "channel", "purpose", "stated_at", "granted", name="uq_consent_log_statement"
    ),
)

tags = Table(
    "tags",
    metadata,
    member_column(),
    Column("tag", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("given_at", INSTANT, nullable=False, server_default=NOW),
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
    Column("created_at", INSTANT, nullable=False, server_default=NOW),
)

group_memberships = Table(
    "group_memberships",
    metadata,
    member_column(),
    Column("group_name", Text, ForeignKey("member_groups.name"), nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added_at", INSTANT, nullable=False, server_default=NOW),
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
    Column("created_at", INSTANT, nullable=False, server_default=NOW),
)

# Beside the members, because every order writes those and hardly any changes these.
member_attributes = Table(
    "member_attributes",
    metadata,
    member_column(primary_key=True),
    Column("attributes", JSONB, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("updated_at", INSTANT, nullable=False, server_default=NOW),
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
    Column("recorded_at", INSTANT, nullable=False, server_default=NOW),
    Index("ix_birthday_changes_member_id", "member_id", "recorded_at"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    member_column(),
    Column("source", Text, nullable=False),
    Column("shop_id", Text, nullable=False),
    Column("external_order_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("shipping_minor", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("redeemed_minor", BigInteger, nullable=False),
    Column("placed_at", INSTANT, nullable=False),
    Column("paid_at", INSTANT),
    Column("payment_id", Text),
    Column("cancelled_at", INSTANT),
    Column("refunded_minor", BigInteger, nullable=False, server_default=text("0")),
    Column("channel", Text),
    Column("campaign_ref", Text),
    Column("country", Text),
    Column("coupon_codes", JSONB),
    Column("participation", JSONB),
    # Hash of everything that may never change; what comes again with another one contradicts itself.
    Column("content", LargeBinary, nullable=False),
    Column("received_at", INSTANT, nullable=False, server_default=NOW),
    UniqueConstraint("source", "shop_id", "external_order_id", name="uq_orders_external"),
    CheckConstraint("total_minor >= 0", name="total_minor"),
    CheckConstraint("refunded_minor BETWEEN 0 AND total_minor", name="refunded_minor"),
    Index("ix_orders_member_id", "member_id", "placed_at", "id"),
    postgresql_with=ROOM,
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Uuid, ForeignKey("orders.id"), nullable=False),
    Column("line_no", Integer, nullable=False),
    Column("sku", Text, nullable=False),
    Column("product_id", Text, nullable=False),
    Column("title", Text),
    Column("category", Text),
    Column("quantity", BigInteger, nullable=False),
    Column("unit_price_minor", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("unit_cost_minor", BigInteger),
    Column("refunded_quantity", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("order_id", "line_no", name="pk_order_lines"),
    CheckConstraint("refunded_quantity BETWEEN 0 AND quantity", name="refunded_quantity"),
)

STATES = "state IN ('parked', 'applied', 'refused')"

refunds = Table(
    "refunds",
    metadata,
    Column("source", Text, nullable=False),
    Column("shop_id", Text, nullable=False),
    Column("external_order_id", Text, nullable=False),
    Column("refund_id", Text, nullable=False),
    Column("refunded_at", INSTANT, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("shipping_minor", BigInteger, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("reason", Text),
    Column("refund_key", Text),
    Column("state", Text, nullable=False),
    Column("refusal", Text),
    Column("received_at", INSTANT, nullable=False, server_default=NOW),
    PrimaryKeyConstraint("source", "shop_id", "external_order_id", "refund_id", name="pk_refunds"),
    CheckConstraint(STATES, name="state"),
    Index("ix_refunds_state", "state", "received_at", postgresql_where=text("state <> 'applied'")),
)

cancellations = Table(
    "cancellations",
    metadata,
    Column("source", Text, nullable=False),
    Column("shop_id", Text, nullable=False),
    Column("external_order_id", Text, nullable=False),
    Column("cancelled_at", INSTANT, nullable=False),
    Column("reason", Text),
    Column("state", Text, nullable=False),
    Column("received_at", INSTANT, nullable=False, server_default=NOW),
    PrimaryKeyConstraint("source", "shop_id", "external_order_id", name="pk_cancellations"),
    CheckConstraint("state IN ('parked', 'applied')", name="state"),
    Index("ix_cancellations_state", "received_at", postgresql_where=text("state = 'parked'")),
)

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
    Column("created_at", INSTANT, nullable=False, server_default=NOW),
    PrimaryKeyConstraint("version", "name", name="pk_tiers"),
    UniqueConstraint("version", "rank", name="uq_tiers_rank"),
    CheckConstraint("min_spend_minor >= 0", name="min_spend_minor"),
    CheckConstraint("min_orders >= 0", name="min_orders"),
    CheckConstraint("min_points >= 0", name="min_points"),
)

# What the summary adds up: each batch writes its differences, so that no two batches wait for one counter;
# a job folds the rows of a figure into one.
tallies = Table(
    "tallies",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("figure", Text, nullable=False),
    Column("value", Numeric, nullable=False),
)

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
    Column("one_id", Uuid, ForeignKey("members.id", deferrable=True, initially="DEFERRED"), nullable=False),
    Column("other_id", Uuid, ForeignKey("members.id", deferrable=True, initially="DEFERRED"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("suggested_at", INSTANT, nullable=False, server_default=NOW),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("decided_at", INSTANT),
    Column("decided_by", Text),
    PrimaryKeyConstraint("one_id", "other_id", name="pk_merge_suggestions"),
    CheckConstraint("one_id < other_id", name="lower_first"),
    CheckConstraint("state IN ('open', 'accepted', 'dismissed')", name="state"),
    Index("ix_merge_suggestions_open", "suggested_at", postgresql_where=text("state = 'open'")),
)
