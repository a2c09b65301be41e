"""Asking until there is an answer, as whoever must not lose an order or a point does."""

from collections import Counter
from typing import Any

import httpx

from shared.testing import eventually

__all__ = ["INSIST_SECONDS", "insist"]

INSIST_SECONDS = 120.0
PAUSE_SECONDS = 0.25


async def insist(
    client: httpx.AsyncClient, path: str, body: Any, key: str, troubles: Counter[str]
) -> httpx.Response:
    """Post until it is answered, always under the same key, and count what kept it from being answered.

    Raises RuntimeError on an answer that asking again would not change.
    """

    async def attempt() -> httpx.Response | None:
        try:
            answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError as trouble:
            troubles[type(trouble).__name__] += 1
            return None
        if answer.is_success:
            return answer
        troubles[str(answer.status_code)] += 1
        if answer.status_code != 503:
            raise RuntimeError(f"{path} under {key} was refused: {answer.status_code} {answer.text}")
        return None

    return await eventually(attempt, deadline_seconds=INSIST_SECONDS, poll_seconds=PAUSE_SECONDS)
