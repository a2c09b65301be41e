"""`regulars erase`: what it asks of members, what it shows, and that it asks before it does."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cli.commands import application

MEMBER = "0197b1c8-0000-7000-8000-000000000001"
TOLD = {
    "status": "accepted",
    "member_id": MEMBER,
    "erased_at": "2026-03-01T12:00:00Z",
    "gone": {"contact_points": 2, "consents": 1},
    "kept": {"orders": 3, "ids": 1},
}
REFUSED = {"code": "member_not_found", "title": "There is no such member."}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What members is asked; it answers as its tests say it does."""
    found: list[dict[str, Any]] = []

    def request(
        method: str, url: str, *, json: Any, params: Any, headers: Any, timeout: float
    ) -> httpx.Response:
        found.append({"url": url, "body": json, **params})
        known = json.get("external_id") != "stranger"
        return httpx.Response(201 if known else 404, json=TOLD if known else REFUSED)

    monkeypatch.setattr("cli.commands.asking.httpx.request", request)
    return found


def run(*arguments: str, answer: str = "") -> Any:
    words = ["erase", *arguments, "--url", "http://members.test"]
    return CliRunner().invoke(application(words), words, input=answer)


def test_it_shows_what_would_go_and_asks_before_it_erases(asked: list[dict[str, Any]]) -> None:
    result = run(MEMBER, answer="n\n")
    assert result.exit_code == 1
    assert [call["dry_run"] for call in asked] == [True]
    assert "would be erased" in result.output
    result = run(MEMBER, answer="y\n")
    assert result.exit_code == 0
    assert [call["dry_run"] for call in asked] == [True, True, False]
    assert "is erased" in result.output
    assert "2 contact_points, 1 consents" in result.output
    assert asked[0]["body"] == {"member_id": MEMBER}


def test_scripts_need_not_be_asked(asked: list[dict[str, Any]]) -> None:
    result = run("A2X7", "--source", "amazon", "--yes", "--json")
    assert (result.exit_code, json.loads(result.output)) == (0, TOLD)
    assert asked == [
        {
            "url": "http://members.test/v1/members/erasures",
            "body": {"source": "amazon", "external_id": "A2X7"},
            "dry_run": False,
        }
    ]


def test_a_refusal_is_said(asked: list[dict[str, Any]]) -> None:
    result = run("stranger", "--source", "amazon", "--yes")
    assert result.exit_code == 1
    assert "member_not_found" in result.output
