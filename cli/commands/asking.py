"""Asking a service something on behalf of a command, which ends with 1 if refused and 2 without an answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import typer
from rich.console import Console

from cli.answers import reason_of, silence_of

__all__ = ["EXIT_REFUSED", "EXIT_UNREACHABLE", "Ask", "Service", "ask_members", "asking_points"]

EXIT_REFUSED, EXIT_UNREACHABLE = 1, 2

# What a path answers, with these parameters.
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


class _Unanswered(Exception):
    """The service refused to answer; the message says why."""


@dataclass(frozen=True)
class Service:
    """A service to be asked: its name, address, the key to ask with, and how long an answer may take."""

    name: str
    url: str
    key: str
    timeout_seconds: float

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, dry_run: bool = False
    ) -> dict[str, Any]:
        """Return what it answers; a refusal ends the command with 1, silence with 2."""
        try:
            answer = httpx.request(
                method,
                f"{self.url}{path}",
                json=body,
                params=None if method == "GET" else {"dry_run": dry_run},
                headers={"Authorization": f"Bearer {self.key}"},
                timeout=self.timeout_seconds,
            )
            told: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise _unreachable(self.name, silence_of(error, self.url)) from error
        if not answer.is_success:
            words = told.get("detail") or told.get("title")
            console = Console(stderr=True)
            console.print(f"[bold red]{told.get('code')}[/]: {words}", highlight=False, soft_wrap=True)
            for place in _places(told):
                console.print(f"  {place}", highlight=False, markup=False, soft_wrap=True)
            raise typer.Exit(EXIT_REFUSED)
        return told


def _places(problem: dict[str, Any]) -> list[str]:
    """Return where in what was sent the problem is, as far as it says."""
    places = [f"{each.get('pointer')}: {each.get('message')}" for each in problem.get("errors") or []]
    if problem.get("pointer"):
        places.append(f"{problem['pointer']}: {problem.get('reason', '')}")
    return places


def ask_members(
    what: str, body: dict[str, Any], *, dry_run: bool, url: str, key: str, timeout_seconds: float
) -> dict[str, Any]:
    """Post to `/v1/members/WHAT` and return the answer; a refusal ends the command with 1, silence with 2."""
    members = Service("members", url, key, timeout_seconds)
    return members.ask("POST", f"/v1/members/{what}", body, dry_run=dry_run)


@contextmanager
def asking_points(url: str, key: str, *, timeout_seconds: float) -> Iterator[Ask]:
    """Yield what gets answers from points; if one fails or is refused, the command ends with 2."""

    def ask(path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer = client.get(path, params=parameters)
        if answer.status_code != 200:
            raise _Unanswered(f"HTTP {answer.status_code}, {reason_of(answer)}")
        part: dict[str, Any] = answer.json()
        return part

    headers = {"Authorization": f"Bearer {key}"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds) as client:
            yield ask
    except httpx.HTTPError as error:
        raise _unreachable("points", silence_of(error, url)) from error
    except _Unanswered as error:
        raise _unreachable("points", str(error)) from error


def _unreachable(service: str, reason: str) -> typer.Exit:
    Console(stderr=True).print(
        f"[bold red]{service} could not be asked: {reason}[/]", highlight=False, soft_wrap=True
    )
    return typer.Exit(EXIT_UNREACHABLE)
