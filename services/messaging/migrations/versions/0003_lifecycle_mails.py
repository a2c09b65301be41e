"""Mails about a tier at risk, kept and prolonged, and a template to win members back with."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# By the member's own clock, where it is known.
DAY = '| in_zone: member.time_zone | date: "%-d %B %Y"'
VARIABLES = {"member.display_name": {"default": "there"}, "member.time_zone": {"default": "UTC"}}

TEXT = """\
Hello {{{{ member.display_name }}}},

{body}
Yours,
{{{{ shop.name }}}}
"""
HTML = """\
<!doctype html>
<html><head><meta charset="utf-8"><title>{{{{ shop.name }}}}</title></head>
<body style="font-family: sans-serif; color: #222; max-width: 36em; margin: 2em auto">
<p>Hello {{{{ member.display_name }}}},</p>
{body}<p>Yours,<br>{{{{ shop.name }}}}</p>
</body></html>
"""
# By name: the subject and the paragraphs.
MAILS = {
    "tier_at_risk": (
        "{{ shop.name }}: keep {{ event.tier | capitalize }}, {{ member.display_name }}",
        [
            '{% if event.reason == "refund" %}After a refund your orders are no longer enough'
            "{% else %}Your orders of the last period are not quite enough{% endif %}"
            " for the tier {{ event.tier | capitalize }}.",
            f"Nothing is lost yet: it stays yours until {{{{ event.falls_at {DAY} }}}}, and for good if you"
            " order enough before that."
            "{% if event.to_tier %} Otherwise you go on as {{ event.to_tier | capitalize }}.{% endif %}",
        ],
    ),
    "tier_retained": (
        "{{ shop.name }}: {{ event.tier | capitalize }} stays yours, {{ member.display_name }}",
        [
            "your latest orders have decided it: you keep the tier {{ event.tier | capitalize }}"
            f"{{% if event.until %}} until {{{{ event.until {DAY} }}}}{{% endif %}}. Thank you!",
        ],
    ),
    "tier_prolonged": (
        "{{ shop.name }}: another period of {{ event.tier | capitalize }}, {{ member.display_name }}",
        [
            "a new period of your tier {{ event.tier | capitalize }} has begun"
            f"{{% if event.until %}}; it lasts until {{{{ event.until {DAY} }}}}{{% endif %}}.",
        ],
    ),
    # It advertises, so whether it goes out is the seller's to decide: no trigger comes with it.
    "win_back": (
        "{{ shop.name }}: we have missed you, {{ member.display_name }}",
        [
            "it has been {{ event.recency_days }} days since your last order. Have a look at what is new.",
            "If you would rather not hear from us: {{ unsubscribe_url }}",
        ],
    ),
}
# A member is told of every period and every risk once.
TRIGGERS = {
    "tier_at_risk": "member.tier_at_risk",
    "tier_retained": "member.tier_retained",
    "tier_prolonged": "member.tier_prolonged",
}

ADD_TEMPLATE = sa.text(
    """
    INSERT INTO templates (name, current_version) VALUES (:name, 1) ON CONFLICT (name) DO NOTHING
    RETURNING name
    """
)
ADD_VERSION = sa.text(
    """
    INSERT INTO template_versions (name, version, subject, text, html, variables, content_hash)
    VALUES (:name, 1, :subject, :text, :html, CAST(:variables AS jsonb), :hash)
    """
)
# Only a new installation mails of itself; in one that knows members already, its seller decides.
ADD_TRIGGER = sa.text(
    """
    INSERT INTO triggers (name, event, template, channel, purpose, position, enabled_from)
    SELECT :name, :event, :name, 'email', 'service', :position, 'epoch'
    WHERE NOT EXISTS (SELECT FROM contacts)
    ON CONFLICT (name) DO NOTHING
    """
)


def upgrade() -> None:
    connection = op.get_bind()
    for name, (subject, paragraphs) in MAILS.items():
        if connection.scalar(ADD_TEMPLATE, {"name": name}) is None:
            continue
        text = TEXT.format(body="".join(f"{paragraph}\n\n" for paragraph in paragraphs))
        html = HTML.format(body="".join(f"<p>{paragraph}</p>\n" for paragraph in paragraphs))
        content = [subject, text, html, VARIABLES]
        written = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        connection.execute(
            ADD_VERSION,
            {
                "name": name,
                "subject": subject,
                "text": text,
                "html": html,
                "variables": json.dumps(VARIABLES),
                "hash": hashlib.sha256(written.encode()).digest(),
            },
        )
    for position, (name, event) in enumerate(TRIGGERS.items(), start=1):
        connection.execute(ADD_TRIGGER, {"name": name, "event": event, "position": position})


def downgrade() -> None:
    # Templates stay: messages that went out name their versions.
    op.get_bind().execute(
        sa.text("DELETE FROM triggers WHERE name = ANY(CAST(:names AS text[]))"), {"names": list(TRIGGERS)}
    )
