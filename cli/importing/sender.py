"""Posting batches to members: patient with outages, and clear about what no patience will mend."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec

__all__ = ["ImportAborted", "Sender"]

RETRIED = frozenset({429, 500, 502, 503, 504})
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
# Longer than a batch of a thousand takes on a busy machine.
REQUEST_TIMEOUT_SECONDS = 60.0


class ImportAborted(Exception):
    """The import cannot go on; what was done is kept, and `--resume` goes on from there."""


class Sender:
    """Posts arrays of documents, and returns one result per document.

    Outages and overload are waited out for up to `patience_seconds` per batch.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        patience_seconds: float,
        waiting: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._waiting = waiting
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=httpx.Timeout(REQUEST_TIMEOUT_SECONDS, connect=5.0),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(self, route: str, documents: Sequence[Any], idempotency_key: str) -> list[dict[str, Any]]:
        """The result of each document, in order. Raises ImportAborted."""
        body = msgspec.json.encode(documents)
        deadline = time.monotonic() + self._patience_seconds
        pause = PAUSE_SECONDS
        while True:
            answer, reason = await self._try(route, body, idempotency_key)
            if answer is not None and answer.status_code not in RETRIED:
                return _results(answer, len(documents))
            if time.monotonic() > deadline:
                raise ImportAborted(
                    f"members did not take the batch for {self._patience_seconds:.0f} s: {reason}"
                )
            self._waiting(reason)
            asked = answer.headers.get("Retry-After", "") if answer is not None else ""
            await asyncio.sleep(min(float(asked), LONGEST_PAUSE_SECONDS) if asked.isdigit() else pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _try(self, route: str, body: bytes, idempotency_key: str) -> tuple[httpx.Response | None, str]:
        try:
            answer = await self._client.post(
                route, content=body, headers={"Idempotency-Key": idempotency_key}
            )
        except httpx.TransportError as error:
            return None, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return answer, f"HTTP {answer.status_code}"


def _results(answer: httpx.Response, count: int) -> list[dict[str, Any]]:
    if answer.status_code != 200:
        raise ImportAborted(f"members refused a whole batch: HTTP {answer.status_code}, {_problem(answer)}")
    results: list[dict[str, Any]] = msgspec.json.decode(answer.content)["results"]
    if len(results) != count:
        raise ImportAborted(f"members answered {len(results)} results for {count} documents")
    return results


def _problem(answer: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.DecodeError:
        return answer.text[:500]
    return f"{problem.get('code')}: {problem.get('detail') or problem.get('title')}"
