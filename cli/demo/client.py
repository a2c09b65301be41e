"""Calling the services as a storefront would, and waiting until they are idle."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from cli.platform import SERVICES
from cli.platform.platform import Platform

__all__ = ["Refused", "Services", "Stuck"]

T = TypeVar("T")

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.1
DRAIN_POLL_SECONDS = 0.4
# A backlog that does not change for this long never will.
STUCK_SECONDS = 180.0


class Refused(RuntimeError):
    """A service refused what the demo asked of it."""


class Stuck(RuntimeError):
    """Something that should happen by itself did not."""


@dataclass
class Backlog:
    """What is left to do, by service and kind; `dead_letters` apart, since nobody works those off."""

    work: dict[str, dict[str, int | None]]
    dead_letters: int

    @property
    def total(self) -> int | None:
        """How many items are left, None while a service cannot say."""
        counts = [count for kinds in self.work.values() for count in kinds.values()]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) and len(self.work) == len(SERVICES) else None

    def __str__(self) -> str:
        left = [
            f"{service} {kind} {'?' if count is None else count}"
            for service, kinds in self.work.items()
            for kind, count in kinds.items()
            if count != 0
        ]
        return ", ".join(left) or "nothing"


class Services:
    """The five APIs of a platform."""

    def __init__(self, platform: Platform) -> None:
        headers = {"Authorization": f"Bearer {platform.key}"}
        self._clients = {
            service: httpx.Client(base_url=url, headers=headers, timeout=60)
            for service, url in platform.urls.items()
        }

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def get(self, service: str, path: str, **query: Any) -> Any:
        """The answer to a GET, decoded. Raises Refused."""
        return self._answer(self._clients[service].get(path, params=query))

    def post(self, service: str, path: str, body: Any) -> Any:
        """The answer to a POST, decoded. Raises Refused."""
        return self._answer(self._clients[service].post(path, json=body))

    def put(self, service: str, path: str, body: Any) -> Any:
        """The answer to a PUT, decoded. Raises Refused."""
        return self._answer(self._clients[service].put(path, json=body))

    def _answer(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise Refused(
                f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:800]}"
            )
        return answer.json()

    def backlog(self) -> Backlog:
        """What every service has left to do."""
        work: dict[str, dict[str, int | None]] = {}
        dead_letters = 0
        for service, client in self._clients.items():
            try:
                report = client.get("/readyz").json()
            except (httpx.HTTPError, ValueError):
                continue
            counts = dict(report["backlog"])
            dead_letters += counts.pop("dead_letters", None) or 0
            work[service] = counts
        return Backlog(work, dead_letters)

    def drained(self, progress: Callable[[int], None] = lambda left: None) -> float:
        """Wait until all five are idle twice in a row; the monotonic time at which they first were.

        Raises Stuck if the backlog stops changing.
        """
        idle_since: float | None = None
        last, changed = "", time.monotonic()
        while True:
            backlog = self.backlog()
            now = time.monotonic()
            if backlog.total == 0:
                if idle_since is not None:
                    return idle_since
                idle_since = now
            else:
                idle_since = None
            if str(backlog) != last:
                last, changed = str(backlog), now
            elif now - changed > STUCK_SECONDS:
                raise Stuck(f"left to do and not getting less for {STUCK_SECONDS:.0f} s: {backlog}")
            if backlog.total is not None:
                progress(backlog.total)
            time.sleep(DRAIN_POLL_SECONDS)

    def until(self, what: str, look: Callable[[], T | None]) -> T:
        """Poll until `look` returns something, and return that. Raises Stuck."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            found = look()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise Stuck(f"waited {WAIT_SECONDS:.0f} s in vain for: {what}")
            time.sleep(POLL_SECONDS)

    def nothing_due(self) -> bool | None:
        """True once the ledger has expired everything whose date has passed, else None."""
        return True if self.get("points", "/v1/summary")["due_lots"] == 0 else None

    def summaries(self) -> Mapping[str, Any]:
        """Every service's own figures."""
        return {service: self.get(service, "/v1/summary") for service in SERVICES}
