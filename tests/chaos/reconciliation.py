"""Waiting until nothing is left to do, and comparing every figure with what was handed over."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

from cli.mail_sink import deliveries
from cli.platform import SERVICES
from cli.platform.platform import Platform
from shared.testing import eventually
from tests.chaos.storefront import Books

__all__ = ["drained", "ready", "reconciled", "summaries"]

DRAIN_SECONDS = 120.0


async def drained(platform: Platform, *, letters: Mapping[str, int] | None = None) -> None:
    """Return when all five services are ready and idle twice in a row.

    `letters` are the dead letters that are meant to wait, by service; without it there must be none.
    """
    expected = {service: {"dead_letters": count} for service, count in (letters or {}).items()}
    idle = 0

    async def look() -> bool:
        nonlocal idle
        left = await _left(platform)
        idle = idle + 1 if left == expected else 0
        assert idle, left
        return idle == 2

    await eventually(look, deadline_seconds=DRAIN_SECONDS, poll_seconds=0.2)


async def _left(platform: Platform) -> dict[str, Any]:
    """What is left to do, by service."""
    left: dict[str, Any] = {}
    async with httpx.AsyncClient(timeout=30) as client:
        for service, url in platform.urls.items():
            try:
                report = (await client.get(f"{url}/readyz")).json()
            except (httpx.TransportError, ValueError) as trouble:
                left[service] = repr(trouble)
                continue
            work = {kind: count for kind, count in report["backlog"].items() if count != 0}
            if report["status"] != "ready" or work:
                left[service] = work or report["checks"]
    return left


async def ready(platform: Platform, service: str) -> dict[str, Any]:
    """What a service says of itself at /readyz, with 200 if it is ready and 503 if not."""
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"{platform.urls[service]}/readyz")
    report: dict[str, Any] = answer.json()
    assert (answer.status_code == 200) == (report["status"] == "ready")
    return report


async def summaries(platform: Platform) -> dict[str, Any]:
    """Every service's own figures."""
    headers = {"Authorization": f"Bearer {platform.key}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        answers = {service: await client.get(f"{platform.urls[service]}/v1/summary") for service in SERVICES}
    for answer in answers.values():
        answer.raise_for_status()
    return {service: answer.json() for service, answer in answers.items()}


async def reconciled(platform: Platform, books: Books, *, mails_twice: int = 0) -> None:
    """Wait until all is done, then hold every figure against the books.

    `mails_twice` is how many mails may have gone out a second time, under the same Message-ID: those that
    were on the wire when their sender was killed, since nobody can know whether they had arrived.
    """
    await drained(platform)
    figures = await summaries(platform)
    members, points, analytics = figures["members"], figures["points"], figures["analytics"]
    mails = Counter((mail.message_id, mail.to) for mail in deliveries(platform.home.mail))
    revenue = {"USD": books.revenue_minor}
    expected = {
        "orders in members": books.orders,
        "orders in analytics": books.orders,
        "members in members": len(books.spend),
        "members in analytics": len(books.spend),
        "revenue in members": revenue,
        "revenue in analytics": revenue,
        "refunds in members": books.refunded_minor,
        "refunds in analytics": books.refunded_minor,
        "tiers": books.tiers,
        # Whoever is merged keeps an account, without anything in it.
        "accounts": len(books.spend) + books.aliases,
        "points earned": books.points,
        "points earned in analytics": books.points,
        "points spent": books.spent_points,
        "points clawed back": books.clawed_back_points,
        "points owed": books.debt_points,
        "points to spend": books.points_to_spend,
        "sum of all entries": 0,
        "lots that differ": 0,
        "mails": members["tier_upgrades"],
        "upgrades in analytics": members["tier_upgrades"],
    }
    actual = {
        "orders in members": members["orders"]["paid"] + members["orders"]["refunded"],
        "orders in analytics": analytics["orders"],
        "members in members": members["members"],
        "members in analytics": analytics["members"],
        "revenue in members": members["revenue_minor"],
        "revenue in analytics": analytics["revenue_minor"],
        "refunds in members": members["refunded_minor"].get("USD", 0),
        "refunds in analytics": analytics["refunded_minor"].get("USD", 0),
        "tiers": {name: count for name, count in members["tiers"].items() if count},
        "accounts": points["accounts"],
        "points earned": points["earned_points"],
        "points earned in analytics": analytics["points"]["earned"],
        "points spent": points["spent_points"],
        "points clawed back": points["clawed_back_points"],
        "points owed": points["debt_points"],
        "points to spend": points["available_points"],
        "sum of all entries": points["entries_sum"],
        "lots that differ": points["lot_mismatches"],
        "mails": len(mails),
        "upgrades in analytics": analytics["messages"].get("sent", 0),
    }
    differing = {name: (actual[name], expected[name]) for name in expected if actual[name] != expected[name]}
    assert not differing, f"actual and expected {differing}"
    assert len({to for _, to in mails}) <= len(books.spend)
    assert mails.total() - len(mails) <= mails_twice, [mail for mail, times in mails.items() if times > 1]
