"""Waiting longer after each failure: capped exponential back-off with full jitter.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import asyncio
import random

__all__ = ["Backoff"]


class Backoff:
    """Bounds the pace at which something that is away is tried again. Times in seconds."""

    def __init__(self, *, base_seconds: float = 0.1, cap_seconds: float = 5.0) -> None:
        self._base_seconds = base_seconds
        self._cap_seconds = cap_seconds
        self._failures = 0

    def reset(self) -> None:
        """Forget past failures: the thing answered."""
        self._failures = 0

    def next_seconds(self) -> float:
        """Return the next wait: uniform between the base and the doubled, capped ceiling."""
        ceiling = min(self._cap_seconds, self._base_seconds * 2 ** min(self._failures, 30))
        self._failures += 1
        return random.uniform(min(self._base_seconds, ceiling), ceiling)  # noqa: S311 - jitter, not a secret

    async def wait(self) -> None:
        """Sleep for the next wait."""
        await asyncio.sleep(self.next_seconds())
