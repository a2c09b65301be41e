"""`regulars merge` and `regulars unmerge`: what they ask of members, and what they make of the answer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.commands import application

ONE, OTHER = "0197b1c8-0000-7000-8000-000000000001", "0197b1c8-0000-7000-8000-000000000002"
MERGED = {"status": "accepted", "surviving_id": ONE, "merged_id": OTHER, "person_id": ONE}
REFUSED = {"code": "merge_circle", "title": "A member cannot be merged into itself."}


class Members(ThreadingHTTPServer):
    """Answers as members would, and remembers what it was asked."""

    asked: list[tuple[str, Any]]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Members)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, body))
        refused = body["surviving_id"] == body["merged_id"]
        self.send_response(422 if refused else 201)
        self.end_headers()
        self.wfile.write(json.dumps(REFUSED if refused else MERGED).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing: the test looks at what was asked."""


@pytest.fixture
def members() -> Iterator[Members]:
    server = Members()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(application(arguments), list(arguments))


def test_members_are_asked_and_the_answer_is_shown(members: Members) -> None:
    done = run("merge", ONE, OTHER, "--reason", "asked", "--url", members.url, "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, MERGED)
    parted = run("unmerge", ONE, OTHER, "--dry-run", "--url", members.url)
    assert (parted.exit_code, parted.stdout) == (0, f"accepted: {OTHER} is now {ONE}\n")
    pair = {"surviving_id": ONE, "merged_id": OTHER}
    assert members.asked == [
        ("/v1/members/merges?dry_run=false", {**pair, "reason": "asked"}),
        ("/v1/members/unmerges?dry_run=true", {**pair, "reason": None}),
    ]


def test_a_refusal_and_an_outage_are_told_apart(members: Members) -> None:
    refused = run("merge", ONE, ONE, "--url", members.url)
    assert (refused.exit_code, "merge_circle" in refused.stderr) == (1, True)
    members.server_close()
    unheard = run("merge", ONE, OTHER, "--url", "http://127.0.0.1:9")
    assert (unheard.exit_code, "nothing listens at http://127.0.0.1:9: is the" in unheard.stderr) == (2, True)
