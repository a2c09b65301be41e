"""Asking members to do something to one member, for commands that change people."""

from typing import Any

import httpx
import typer
from rich.console import Console

__all__ = ["ask_members"]

EXIT_REFUSED, EXIT_UNREACHABLE = 1, 2


def ask_members(
    what: str, body: dict[str, Any], *, dry_run: bool, url: str, key: str, timeout_seconds: float
) -> dict[str, Any]:
    """Post to `/v1/members/WHAT` and return the answer; a refusal ends the command with 1, silence with 2."""
    console = Console(stderr=True)
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
        console.print(f"[bold red]members could not be asked: {error}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_UNREACHABLE) from error
    if not answer.is_success:
        words = told.get("detail") or told.get("title")
        console.print(f"[bold red]{told.get('code')}[/]: {words}", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_REFUSED)
    return told
