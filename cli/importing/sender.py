"""Posting batches to a service: patient with outages, and clear about what no patience will mend."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec

from cli.answers import reason_of, silence_of

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
        service: str = "members",
        patience_seconds: float,
        waiting: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._service = service
        self._url = url
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
        answer = await self._patiently(
            "POST",
            route,
            content=msgspec.json.encode(documents),
            headers={"Idempotency-Key": idempotency_key},
        )
        results: list[dict[str, Any]] = self._document(answer)["results"]
        if len(results) != len(documents):
            raise ImportAborted(
                f"{self._service} answered {len(results)} results for {len(documents)} documents"
            )
        return results

    async def get(self, route: str, parameters: dict[str, str]) -> dict[str, Any]:
        """What the service answers to a question. Raises ImportAborted."""
        return self._document(await self._patiently("GET", route, params=parameters))

    async def _patiently(self, method: str, route: str, **request: Any) -> httpx.Response:
        deadline = time.monotonic() + self._patience_seconds
        pause = PAUSE_SECONDS
        while True:
            answer, reason = await self._try(method, route, request)
            if answer is not None and answer.status_code not in RETRIED:
                return answer
            if time.monotonic() > deadline:
                raise ImportAborted(
                    f"{self._service} did not take the batch for {self._patience_seconds:.0f} s: {reason}"
                )
            self._waiting(reason)
            asked = answer.headers.get("Retry-After", "") if answer is not None else ""
            await asyncio.sleep(min(float(asked), LONGEST_PAUSE_SECONDS) if asked.isdigit() else pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _try(
        self, method: str, route: str, request: dict[str, Any]
    ) -> tuple[httpx.Response | None, str]:
        try:
            answer = await self._client.request(method, route, **request)
        except httpx.TransportError as error:
            return None, silence_of(error, self._url)
        return answer, f"HTTP {answer.status_code}"

    def _document(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code != 200:
            raise ImportAborted(
                f"{self._service} refused a whole batch: HTTP {answer.status_code}, {reason_of(answer)}"
            )
        document: dict[str, Any] = msgspec.json.decode(answer.content)
        return document
