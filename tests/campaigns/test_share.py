"""The page behind a link: a price for whoever holds the link, a friendly word for everybody else."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.campaigns import operations
from services.campaigns.domain import Share
from services.campaigns.errors import GroupClosed
from services.campaigns.operations import MakeLink
from services.campaigns.settings import settings
from shared.database import Database
from shared.ids import new_id
from shared.signing import sign
from tests.campaigns.building import (
    activity,
    hear,
    joined,
    member,
    open_group,
    paid,
    pass_time,
    run_jobs,
    sku,
)
from tests.fixtures.services import emitted

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"}


async def token_of(api: httpx.AsyncClient, group_id: object) -> str:
    """Return the token of a group's own link."""
    return str((await api.get(f"/v1/groups/{group_id}")).json()["link_token"])


async def said(database: Database, name: str) -> list[dict[str, Any]]:
    """Return what was said of one event type."""
    async with database.reading() as session:
        return [payload for found, _, payload in await emitted(session) if found == name]


async def test_the_page_shows_price_seats_and_times(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    held = await open_group(campaigns_database, await activity(campaigns_database, group_size=3))
    token = await token_of(api, held.seat.group_id)
    answer = await api.get(f"/g/{token}", params={"zone": "Europe/Berlin"}, headers=BROWSER)
    assert answer.status_code == 200
    page = answer.text
    for expected in ("Blue mug", "16.00 USD", "20.00 USD", "20 % off", "2 seats left", "Pacific", "UTC"):
        assert expected in page
    assert "Europe/Berlin" in page
    assert re.search(r'property="og:title" content="Join my group for Blue mug"', page)
    assert f"https://shop.example/checkout?from=group&amp;group_token={token}" in page
    # The internal name is the seller's own business, and a preview must not tell the price.
    assert "Mugs" not in page
    assert all("16.00" not in tag for tag in re.findall(r"<meta[^>]*>", page))
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "noindex" in answer.headers["x-robots-tag"]
    assert not re.search(r"<script>|style=|onclick", page)


async def test_what_a_seller_writes_is_text_and_never_markup(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    title = "<script>alert('x')</script>\" onload=\"x"
    held = await open_group(campaigns_database, await activity(campaigns_database, skus=[sku(title=title)]))
    page = (await api.get(f"/g/{await token_of(api, held.seat.group_id)}")).text
    assert "<script>alert" not in page
    assert 'onload="x' not in page
    assert "&lt;script&gt;alert" in page


async def test_the_discount_shown_is_the_one_given(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    # 20 % off 19.99 is 15.99, cut in the buyer's favour, and still 20 %.
    held = await open_group(
        campaigns_database, await activity(campaigns_database, skus=[sku(normal_price_minor=1999)])
    )
    assert "20 % off" in (await api.get(f"/g/{await token_of(api, held.seat.group_id)}")).text


async def test_the_code_leads_to_the_page(api: httpx.AsyncClient, campaigns_database: Database) -> None:
    held = await open_group(campaigns_database, await activity(campaigns_database))
    token = await token_of(api, held.seat.group_id)
    svg = await api.get(f"/g/{token}/qr.svg")
    png = await api.get(f"/g/{token}/qr.png")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert svg.text.startswith("<?xml")
    assert png.content.startswith(b"\x89PNG")
    assert (await api.get("/g/forged/qr.svg")).status_code == 404
    assert (await api.get("/g/assets/group.css")).headers["content-type"].startswith("text/css")
    assert (await api.get("/g/assets/secrets.py")).status_code == 404


async def test_forged_and_foreign_links_show_no_price(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    held = await open_group(campaigns_database, await activity(campaigns_database))
    token = await token_of(api, held.seat.group_id)
    keys = settings().signing_keys
    elsewhere = Share(
        link_id=new_id(),
        activity_id=new_id(),
        group_id=held.seat.group_id,
        sharer_id=member(1),
        generation=0,
        channel=None,
    )
    forged = [f"{token}x", token[:-4], "nonsense", sign(b"unsubscribe", keys), sign(elsewhere.pack(), keys)]
    for wrong in forged:
        answer = await api.get(f"/g/{wrong}")
        assert answer.status_code == 404, wrong
        assert answer.headers["content-type"].startswith("text/html")
        assert "We do not know this link" in answer.text
        assert "16.00" not in answer.text
    assert await said(campaigns_database, "link.visited") == []


@pytest.mark.parametrize(("formed", "words"), [(True, "This group is complete"), (False, "has ended")])
async def test_a_group_that_is_over_shows_no_price(
    api: httpx.AsyncClient, campaigns_database: Database, formed: bool, words: str
) -> None:
    held = await open_group(campaigns_database, await activity(campaigns_database))
    token = await token_of(api, held.seat.group_id)
    if formed:
        await hear(campaigns_database, paid(await joined(campaigns_database, held.seat.group_id, 2)))
    else:
        await pass_time(campaigns_database, timedelta(days=1))
    answer = await api.get(f"/g/{token}")
    assert answer.status_code == 410
    assert words in answer.text
    assert "16.00" not in answer.text
    await run_jobs(campaigns_database)
    assert (await api.get(f"/g/{token}")).status_code == 410


async def test_visits_are_told_and_machines_told_apart(
    api: httpx.AsyncClient, campaigns_database: Database
) -> None:
    held = await open_group(campaigns_database, await activity(campaigns_database))
    token = await token_of(api, held.seat.group_id)
    await api.get(f"/g/{token}", headers=BROWSER)
    await api.get(f"/g/{token}", headers={"User-Agent": "WhatsApp/2.23"})
    await api.get(f"/g/{token}", headers=BROWSER | {"Sec-Purpose": "prefetch"})
    assert (await api.head(f"/g/{token}", headers=BROWSER)).status_code == 200
    visits = await said(campaigns_database, "link.visited")
    assert [visit["is_bot"] for visit in visits] == [False, True, True]
    assert {visit["sharer_id"] for visit in visits} == {str(member(1))}


async def test_links_remember_who_brought_whom(api: httpx.AsyncClient, campaigns_database: Database) -> None:
    held = await open_group(campaigns_database, await activity(campaigns_database, group_size=5))
    group_id = held.seat.group_id
    links = f"/v1/groups/{group_id}/links"
    first = (await api.post(links, json={"sharer_id": str(member(1)), "channel": "vk"})).json()
    again = (await api.post(links, json={"sharer_id": str(member(1)), "channel": "vk"})).json()
    assert first == again
    assert first["generation"] == 0
    seat = await joined(campaigns_database, group_id, 2, **_brought_by(first["token"]))
    await hear(campaigns_database, paid(seat))
    second = (await api.post(links, json={"sharer_id": str(member(2)), "channel": "whatsapp"})).json()
    assert second["generation"] == 1
    fan = (await api.post(links, json={"sharer_id": str(member(9)), "via_token": second["token"]})).json()
    assert fan["generation"] == 2
    shared = await said(campaigns_database, "link.shared")
    assert [link["generation"] for link in shared] == [0, 1, 2]
    assert shared[1]["parent_link_id"] == first["link_id"]
    assert shared[2]["parent_link_id"] == second["link_id"]
    (own, seat_event) = await said(campaigns_database, "group.joined")
    assert (own["generation"], seat_event["generation"]) == (0, 1)
    assert seat_event["link_id"] == first["link_id"]


def _brought_by(token: str) -> dict[str, Any]:
    share = operations.share_of(token)
    return {"link_id": share.link_id, "generation": share.generation + 1}


async def test_a_link_for_a_group_that_is_over_is_refused(campaigns_database: Database) -> None:
    held = await open_group(campaigns_database, await activity(campaigns_database))
    await pass_time(campaigns_database, timedelta(days=1))
    async with campaigns_database.transaction() as session:
        with pytest.raises(GroupClosed):
            await operations.make_link(
                session, MakeLink(group_id=held.seat.group_id, sharer_id=member(1), channel=None)
            )
