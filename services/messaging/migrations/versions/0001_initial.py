"""The tables of messaging, the welcome template and its trigger."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.platform_migrations import create_platform_tables_v1, drop_platform_tables_v1

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WELCOME_SUBJECT = "{{ shop.name }}: welcome to {{ event.to_tier | capitalize }}, {{ member.display_name }}"
WELCOME_TEXT = """\
Hello {{ member.display_name }},

your orders have brought you to the tier {{ event.to_tier | capitalize }}. Thank you!
{% case event.to_tier %}{% when "silver" %}
As a silver member you hear of limited offers a day before everybody else.
{% when "gold" %}
As a gold member you get birthday points, and hear of limited offers a day before everybody else.
{% when "platinum" %}
As a platinum member you get birthday points, early access to every offer, and a person to write to.
{% else %}
Your points and benefits are waiting for you at your next order.
{% endcase %}
Yours,
{{ shop.name }}
"""
WELCOME_HTML = """\
<!doctype html>
<html><head><meta charset="utf-8"><title>{{ shop.name }}</title></head>
<body style="font-family: sans-serif; color: #222; max-width: 36em; margin: 2em auto">
<h1 style="font-size: 1.4em">Welcome to {{ event.to_tier | capitalize }}</h1>
<p>Hello {{ member.display_name }},</p>
<p>your orders have brought you to the tier <strong>{{ event.to_tier | capitalize }}</strong>. Thank you!</p>
{% case event.to_tier %}{% when "silver" %}
<p>As a silver member you hear of limited offers a day before everybody else.</p>
{% when "gold" %}
<p>As a gold member you get birthday points, and hear of limited offers a day before everybody else.</p>
{% when "platinum" %}
<p>As a platinum member you get birthday points, early access to every offer, and a person to write to.</p>
{% else %}
<p>Your points and benefits are waiting for you at your next order.</p>
{% endcase %}
<p>Yours,<br>{{ shop.name }}</p>
</body></html>
"""
WELCOME_VARIABLES = {"member.display_name": {"default": "there"}}


def upgrade() -> None:
    create_platform_tables_v1(op.get_bind())
    op.create_table(
        "consents",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "channel", "purpose", name=op.f("pk_consents")),
    )
    op.create_table(
        "contacts",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("birthday", sa.Date(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_contacts")),
    )
    op.create_table(
        "suppressions",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("channel", "address_hash", name=op.f("pk_suppressions")),
    )
    op.create_table(
        "templates",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("current_version", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_templates")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("consecutive_failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "contact_points",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_id"],
            ["contacts.member_id"],
            name=op.f("fk_contact_points_member_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("member_id", "channel", "address", name=op.f("pk_contact_points")),
    )
    op.create_table(
        "template_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=True),
        sa.Column("variables", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "octet_length(content_hash) = 32", name=op.f("ck_template_versions_content_hash_sha256")
        ),
        sa.CheckConstraint("version > 0", name=op.f("ck_template_versions_version_positive")),
        sa.ForeignKeyConstraint(["name"], ["templates.name"], name=op.f("fk_template_versions_name")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_template_versions")),
    )
    op.create_table(
        "triggers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("condition", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.Text(), nullable=True),
        sa.Column("webhook_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("enabled_from", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(channel = 'webhook') = (webhook_id IS NOT NULL)", name=op.f("ck_triggers_webhook_named")
        ),
        sa.CheckConstraint("purpose IN ('service', 'marketing')", name=op.f("ck_triggers_purpose_known")),
        sa.ForeignKeyConstraint(["template"], ["templates.name"], name=op.f("fk_triggers_template")),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name=op.f("fk_triggers_webhook_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_triggers")),
    )
    op.create_index(
        "ix_triggers_event",
        "triggers",
        ["event"],
        unique=False,
        postgresql_where=sa.text("enabled_from IS NOT NULL"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'claimed', 'delivered', 'failed')",
            name=op.f("ck_webhook_deliveries_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_webhook_deliveries_lease",
        "webhook_deliveries",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id", "webhook_deliveries", ["webhook_id", "created_at"], unique=False
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("occurrence", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=True),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("facts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("verdicts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('claimed', 'submitted')) = (lease_until IS NOT NULL)",
            name=op.f("ck_messages_lease_while_worked_on"),
        ),
        sa.CheckConstraint("purpose IN ('service', 'marketing')", name=op.f("ck_messages_purpose_known")),
        sa.CheckConstraint(
            "state IN ('held', 'queued', 'claimed', 'submitted', 'unknown', 'accepted', 'delivered', "
            "'failed', 'dropped')",
            name=op.f("ck_messages_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["template", "template_version"],
            ["template_versions.name", "template_versions.version"],
            name="fk_messages_template_version",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(
        "ix_messages_due",
        "messages",
        ["channel", "priority", "due_at"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_messages_held",
        "messages",
        ["member_id"],
        unique=False,
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index(
        "ix_messages_lease",
        "messages",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state IN ('claimed', 'submitted')"),
    )
    op.create_index("ix_messages_member_id", "messages", ["member_id", "planned_at", "id"], unique=False)
    op.create_index("ix_messages_planned_at", "messages", ["planned_at", "id"], unique=False)
    _seed_welcome()


def _seed_welcome() -> None:
    """Give a new installation its first message: a welcome by e-mail to every new tier."""
    content = [WELCOME_SUBJECT, WELCOME_TEXT, WELCOME_HTML, WELCOME_VARIABLES]
    written = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    connection = op.get_bind()
    connection.execute(sa.text("INSERT INTO templates (name, current_version) VALUES ('tier_welcome', 1)"))
    connection.execute(
        sa.text(
            """
            INSERT INTO template_versions (name, version, subject, text, html, variables, content_hash)
            VALUES ('tier_welcome', 1, :subject, :text, :html, CAST(:variables AS jsonb), :hash)
            """
        ),
        {
            "subject": WELCOME_SUBJECT,
            "text": WELCOME_TEXT,
            "html": WELCOME_HTML,
            "variables": json.dumps(WELCOME_VARIABLES),
            "hash": hashlib.sha256(written.encode()).digest(),
        },
    )
    connection.execute(
        sa.text(
            """
            INSERT INTO triggers (name, event, template, channel, purpose, position, enabled_from)
            VALUES ('tier_welcome', 'member.tier_upgraded', 'tier_welcome', 'email', 'service', 0, 'epoch')
            """
        )
    )


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("webhook_deliveries")
    op.drop_table("triggers")
    op.drop_table("template_versions")
    op.drop_table("contact_points")
    op.drop_table("webhooks")
    op.drop_table("templates")
    op.drop_table("suppressions")
    op.drop_table("contacts")
    op.drop_table("consents")
    drop_platform_tables_v1(op.get_bind())
