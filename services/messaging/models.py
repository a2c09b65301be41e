"""Tables and constraints of messaging."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.messaging.domain import State
from shared.database import new_metadata
from shared.platform_tables import add_platform_tables

__all__ = [
    "Alias",
    "Base",
    "Consent",
    "Contact",
    "ContactPoint",
    "Delivery",
    "Message",
    "Suppression",
    "Template",
    "TemplateVersion",
    "Trigger",
    "Webhook",
    "metadata",
]


class Base(DeclarativeBase):
    """Every table of this service, those of the platform included."""

    metadata = new_metadata()


add_platform_tables(Base.metadata)
metadata = Base.metadata

INSTANT = DateTime(timezone=True)
NOW = text("clock_timestamp()")
STATES = ", ".join(f"'{state}'" for state in State if state is not State.PLANNED)


class Contact(Base):
    """A member as messaging knows them. An erased one keeps only its id, so that nothing brings it back."""

    __tablename__ = "contacts"

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)
    display_name: Mapped[str | None] = mapped_column(Text)
    locale: Mapped[str | None] = mapped_column(Text)
    time_zone: Mapped[str | None] = mapped_column(Text)
    country: Mapped[str | None] = mapped_column(Text)
    birthday: Mapped[date | None] = mapped_column(Date)
    tier: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    updated_at: Mapped[datetime | None] = mapped_column(INSTANT)
    erased_at: Mapped[datetime | None] = mapped_column(INSTANT)


class ContactPoint(Base):
    """An address of a member; the gate takes the first verified one, then the first."""

    __tablename__ = "contact_points"

    member_id: Mapped[UUID] = mapped_column(
        ForeignKey("contacts.member_id", ondelete="CASCADE"), primary_key=True
    )
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    address: Mapped[str] = mapped_column(Text, primary_key=True)
    verified: Mapped[bool] = mapped_column(Boolean)
    position: Mapped[int] = mapped_column(SmallInteger)


class Consent(Base):
    """What a member last said; the newest word wins, and of two at one instant the no."""

    __tablename__ = "consents"

    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    purpose: Mapped[str] = mapped_column(Text, primary_key=True)
    granted: Mapped[bool] = mapped_column(Boolean)
    changed_at: Mapped[datetime] = mapped_column(INSTANT)
    source: Mapped[str] = mapped_column(Text)


class Alias(Base):
    """That a member id is another's, or, without a survivor, is its own again; the highest revision holds."""

    __tablename__ = "aliases"

    merged_id: Mapped[UUID] = mapped_column(primary_key=True)
    surviving_id: Mapped[UUID | None] = mapped_column()
    revision: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_aliases_surviving_id", "surviving_id"),)


class Suppression(Base):
    """An address to be left alone, kept as a hash so that it outlives the erasure of its member."""

    __tablename__ = "suppressions"

    channel: Mapped[str] = mapped_column(Text, primary_key=True)
    address_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=NOW)
    expires_at: Mapped[datetime | None] = mapped_column(INSTANT)


class Template(Base):
    """A name for content; what it says is in its versions."""

    __tablename__ = "templates"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    current_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(INSTANT, server_default=NOW)


class TemplateVersion(Base):
    """Content that never changes: a message names the version that it was made of."""

    __tablename__ = "template_versions"

    name: Mapped[str] = mapped_column(ForeignKey("templates.name"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    subject: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    html: Mapped[str | None] = mapped_column(Text)
    variables: Mapped[dict[str, Any]] = mapped_column(JSONB)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=NOW)

    __table_args__ = (
        CheckConstraint("version > 0", name="version_positive"),
        CheckConstraint("octet_length(content_hash) = 32", name="content_hash_sha256"),
    )


class Webhook(Base):
    """An address that hears events or gets messages, signed with its own secret."""

    __tablename__ = "webhooks"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=NOW)
    disabled_at: Mapped[datetime | None] = mapped_column(INSTANT)
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    consecutive_failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class Delivery(Base):
    """One event for one webhook. The id is derived from both, and is the `webhook-id` that receivers see."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[UUID]
    event_type: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    epoch: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    due_at: Mapped[datetime] = mapped_column(INSTANT, server_default=NOW)
    lease_until: Mapped[datetime | None] = mapped_column(INSTANT)
    created_at: Mapped[datetime] = mapped_column(INSTANT, server_default=NOW)
    settled_at: Mapped[datetime | None] = mapped_column(INSTANT)

    __table_args__ = (
        CheckConstraint("state IN ('queued', 'claimed', 'delivered', 'failed')", name="state_known"),
        Index("ix_webhook_deliveries_due", "due_at", postgresql_where=text("state = 'queued'")),
        Index("ix_webhook_deliveries_lease", "lease_until", postgresql_where=text("state = 'claimed'")),
        Index("ix_webhook_deliveries_webhook_id", "webhook_id", "created_at"),
    )


class Trigger(Base):
    """When which template goes to whom: an event type, a condition on its facts, a channel and a purpose."""

    __tablename__ = "triggers"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    event: Mapped[str] = mapped_column(Text)
    condition: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    template: Mapped[str] = mapped_column(ForeignKey("templates.name"))
    channel: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    occurrence: Mapped[str | None] = mapped_column(Text)
    webhook_id: Mapped[UUID | None] = mapped_column(ForeignKey("webhooks.id"))
    position: Mapped[int] = mapped_column(Integer)
    enabled_from: Mapped[datetime | None] = mapped_column(INSTANT)

    __table_args__ = (
        CheckConstraint("purpose IN ('service', 'marketing')", name="purpose_known"),
        CheckConstraint("(channel = 'webhook') = (webhook_id IS NOT NULL)", name="webhook_named"),
        Index("ix_triggers_event", "event", postgresql_where=text("enabled_from IS NOT NULL")),
    )


class Message(Base):
    """The ledger: one row per message, whose id follows from trigger, member and occurrence.

    The primary key is what makes a second send of the same thing impossible.
    """

    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    trigger: Mapped[str] = mapped_column(Text)
    member_id: Mapped[UUID]
    occurrence: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(SmallInteger)
    template: Mapped[str] = mapped_column(Text)
    template_version: Mapped[int] = mapped_column(Integer)
    webhook_id: Mapped[UUID | None]
    event_type: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    verdicts: Mapped[list[Any]] = mapped_column(JSONB)
    epoch: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    planned_at: Mapped[datetime] = mapped_column(INSTANT)
    due_at: Mapped[datetime] = mapped_column(INSTANT)
    lease_until: Mapped[datetime | None] = mapped_column(INSTANT)
    submitted_at: Mapped[datetime | None] = mapped_column(INSTANT)
    settled_at: Mapped[datetime | None] = mapped_column(INSTANT)

    __table_args__ = (
        ForeignKeyConstraint(
            ["template", "template_version"],
            ["template_versions.name", "template_versions.version"],
            name="fk_messages_template_version",
        ),
        CheckConstraint(f"state IN ({STATES})", name="state_known"),
        CheckConstraint("purpose IN ('service', 'marketing')", name="purpose_known"),
        CheckConstraint(
            "(state IN ('claimed', 'submitted')) = (lease_until IS NOT NULL)", name="lease_while_worked_on"
        ),
        Index("ix_messages_due", "channel", "priority", "due_at", postgresql_where=text("state = 'queued'")),
        Index("ix_messages_held", "member_id", postgresql_where=text("state = 'held'")),
        Index(
            "ix_messages_lease",
            "lease_until",
            postgresql_where=text("state IN ('claimed', 'submitted')"),
        ),
        Index("ix_messages_member_id", "member_id", "planned_at", "id"),
        Index("ix_messages_planned_at", "planned_at", "id"),
    )
