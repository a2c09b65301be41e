"""Asking a service something on behalf of a command, which ends with 1 if refused and 2 without an answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import typer
from rich.console import Console

from cli.answers import reason_of

__all__ = ["EXIT_UNREACHABLE", "Ask", "ask_members", "asking_points"]

EXIT_REFUSED, EXIT_UNREACHABLE = 1, 2

# What a path answers, with these parameters.
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


class _Unanswered(Exception):
    """The service refused to answer; the message says why."""


def ask_members(
    what: str, body: dict[str, Any], *, dry_run: bool, url: str, key: str, timeout_seconds: float
) -> dict[str, Any]:
    """Post to `/v1/members/WHAT` and return the answer; a refusal ends the command with 1, silence with 2."""
    try:
        answer = httpx.post(
            f"{url}/v1/members/{what}",
            json=body,
            params={"dry_run": dry_run},
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout_seconds,
        )
        told: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise _unreachable("members", error) from error
    if not answer.is_success:
        words = told.get("detail") or told.get("title")
        console = Console(stderr=True)
        console.print(f"[bold red]{told.get('code')}[/]: {words}", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED)
    return told


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
    except (httpx.HTTPError, _Unanswered) as error:
        raise _unreachable("points", error) from error


def _unreachable(service: str, error: Exception) -> typer.Exit:
    Console(stderr=True).print(
        f"[bold red]{service} could not be asked: {error}[/]", highlight=False, soft_wrap=True
    )
    return typer.Exit(EXIT_UNREACHABLE)
