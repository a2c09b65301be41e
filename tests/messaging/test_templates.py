"""Templates: strict, escaped, bounded, and told apart by their content."""

import email
from email.policy import SMTP as MAIL_POLICY
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.messaging.channels import Outgoing
from services.messaging.channels.mail import compose, is_mail_address
from services.messaging.templates import (
    BadTemplate,
    Content,
    RenderingFailed,
    RenderingSkipped,
    content_hash,
    publishable,
    render,
)
from tests.messaging.people import NOW, member

VALUES: dict[str, Any] = {
    "member": {"display_name": "Ana", "tier": None, "tags": ["a", "b"]},
    "event": {"to_tier": "gold", "from_tier": None},
    "shop": {"name": "Shop"},
    "unsubscribe_url": None,
}


def filled(source: str, variables: dict[str, dict[str, Any]] | None = None, **values: Any) -> str:
    content = Content("s", source, None, variables or {})
    return render(content, content_hash(content), VALUES | values).text


def test_what_is_missing_can_be_asked_about_but_not_printed() -> None:
    assert filled("{% if event.from_tier %}from{% else %}first{% endif %}") == "first"
    assert filled("{{ event.from_tier | default: 'none' }}") == "none"
    with pytest.raises(RenderingFailed) as failed:
        filled("Hello {{ member.tier }}")
    assert failed.value.reason == "variable_missing"


def test_policies_of_variables() -> None:
    assert filled("{{ member.tier }}", {"member.tier": {"default": "friend"}}) == "friend"
    with pytest.raises(RenderingSkipped):
        filled("{{ member.tier }}", {"member.tier": {"missing": "skip"}})
    with pytest.raises(RenderingFailed):
        filled("x", {"member.tier": {"missing": "fail"}})


def test_an_instant_is_written_by_the_clock_of_a_zone() -> None:
    source = "{{ event.at | in_zone: event.zone | date: '%-d %B %Y %H:%M' }}"
    at = {"at": "2026-03-31T16:00:00Z", "zone": "Asia/Shanghai"}
    assert filled(source, event=at) == "1 April 2026 00:00"
    for wrong in ({"zone": "Nowhere"}, {"zone": 8}, {"at": "tomorrow"}, {"at": None}):
        with pytest.raises(RenderingFailed):
            filled(source, event=at | wrong)


def test_html_is_escaped_and_text_is_not() -> None:
    content = Content(
        "{{ member.display_name }}", "{{ member.display_name }}", "<p>{{ member.display_name }}</p>", {}
    )
    values = VALUES | {"member": {"display_name": "<b onload='x'>&"}}
    done = render(content, content_hash(content), values)
    assert done.text == "<b onload='x'>&"
    assert done.html == "<p>&lt;b onload=&#39;x&#39;&gt;&amp;</p>"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("{% if %}", "missing expression"),
        ("{{ membr.display_name }}", "unknown variable membr"),
        ("{{ member.dispaly_name }}", "unknown variable member.dispaly_name"),
        ("{{ 'x' | nofilter }}", "unknown filter nofilter"),
        ("{{ member.display_name | safe }}", "unknown filter safe"),
        ("{% include 'other' %}", "unexpected tag"),
        ("{% render 'other' %}", "unexpected tag"),
        ("{% if a %}" * 50 + "{% endif %}" * 50, ""),
    ],
)
def test_bad_template_is_not_published(source: str, complaint: str) -> None:
    with pytest.raises(BadTemplate) as bad:
        publishable(Content("ok", source, None, {}))
    assert any(part == "text" and complaint in message for part, message in bad.value.errors)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..1000000000) %}x{% endfor %}",
        "{% for i in (1..9000) %}{% for j in (1..9000) %}x{% endfor %}{% endfor %}",
        "{{ (1..100000000) | join: ',' }}",
        "{% assign x = 'aaaaaaaaaaaaaaaa' %}{% for i in (1..99) %}{% assign x = x | append: x %}{% endfor %}",
        "{% for i in (1..9999) %}{{ event.long }}{% endfor %}",
    ],
)
def test_greedy_template_meets_a_limit(source: str) -> None:
    with pytest.raises(RenderingFailed) as failed:
        filled(source, event={"long": "x" * 100_000})
    assert failed.value.reason == "template_limit"


def test_same_content_is_the_same_version() -> None:
    one = Content("s", "t", None, {"member.tier": {"default": "a"}, "member.locale": {"missing": "skip"}})
    two = Content("s", "t", None, {"member.locale": {"missing": "skip"}, "member.tier": {"default": "a"}})
    assert content_hash(one) == content_hash(two)
    assert content_hash(one) != content_hash(Content("s", "t", "", one.variables))


def outgoing(**changes: Any) -> Outgoing:
    values: dict[str, Any] = {
        "id": member(9),
        "member_id": member(1),
        "purpose": "service",
        "trigger": "t",
        "subject": "s",
        "text": "t",
        "html": "<p>h</p>",
        "address": "ana@example.test",
    }
    return Outgoing(**(values | changes))


@settings(max_examples=50, deadline=None)
@given(
    subject=st.text(max_size=200),
    text=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=500),
)
def test_any_content_survives_the_mail(subject: str, text: str) -> None:
    subject = " ".join(subject.encode("utf-8", "replace").decode().split())
    raw = compose(
        outgoing(subject=subject, text=text), from_name="Ünï", from_address="a@example.test", date=NOW
    )
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    mail = email.message_from_bytes(raw, policy=MAIL_POLICY)
    assert not mail.defects
    assert set(mail.keys()) == {
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "MIME-Version",
        "Auto-Submitted",
        "Content-Type",
    }
    plain, html = mail.iter_parts()  # type: ignore[attr-defined]  # the policy makes it an EmailMessage
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert plain.get_payload(decode=True).decode().replace("\r\n", "\n").rstrip("\n") == lines.rstrip("\n")
    assert html.get_content().strip() == "<p>h</p>"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@",
        "@b",
        "a b@c.test",
        "a@b\r\nRCPT TO:<c@d.test>",
        "a@b>",
        "ü@b.test",
        "a@-b.test",
        "a" * 65 + "@b.test",
    ],
)
def test_what_is_no_mail_address(address: str) -> None:
    assert not is_mail_address(address)
