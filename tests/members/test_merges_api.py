"""Merges, further names and suggestions over HTTP."""

import json
from typing import Any

import httpx

from shared.ids import new_id
from tests.members.shop import order
from tests.members.test_api import client, codes, post

__all__ = ["client"]


async def _two(caller: httpx.AsyncClient, **fields: Any) -> tuple[str, str]:
    results = (await post(caller, [order(1, "kim", **fields), order(2, "lee", **fields)])).json()["results"]
    return results[0]["member_id"], results[1]["member_id"]


async def test_merge_and_unmerge(client: httpx.AsyncClient) -> None:
    kim, lee = await _two(client)
    pair = {"surviving_id": kim, "merged_id": lee, "reason": "asked"}
    dry = await client.post("/v1/members/merges", json=pair, params={"dry_run": "true"})
    assert (dry.status_code, dry.json()["person_id"]) == (201, kim)
    assert (await client.get(f"/v1/members/{lee}")).json()["member_id"] == lee, "a dry run leaves nothing"
    headers = {"Idempotency-Key": "merge-1"}
    for _ in range(2):
        done = await client.post("/v1/members/merges", json=pair, headers=headers)
        assert (done.status_code, done.json()["status"]) == (201, "accepted")
    again = await post(client, pair, "/v1/members/merges")
    assert (again.status_code, again.json()["status"]) == (200, "unchanged")
    shown = (await client.get(f"/v1/members/{lee}")).json()
    assert (shown["member_id"], shown["merged_ids"], shown["orders_count"]) == (kim, [lee], 2)
    late = await post(client, order(3, "lee"))
    assert late.json()["member_id"] == kim
    many = [pair, {**pair, "merged_id": kim}, {**pair, "merged_id": str(new_id())}, {"surviving_id": kim}]
    answer = await post(client, many, "/v1/members/merges")
    assert codes(answer) == ["unchanged", "merge_circle", "member_not_found", "invalid_item"]
    wrong = await post(client, {**pair, "surviving_id": lee, "merged_id": kim}, "/v1/members/unmerges")
    assert (wrong.status_code, wrong.json()["code"]) == (409, "not_merged")
    parted = await post(client, [pair, pair], "/v1/members/unmerges")
    assert codes(parted) == ["accepted", "unchanged"]
    assert (await client.get(f"/v1/members/{lee}")).json()["orders_count"] == 2


async def test_suggestions_are_listed_accepted_and_dismissed(client: httpx.AsyncClient) -> None:
    kim, lee = await _two(client)
    point = {"channel": "email", "address": "kim@example.test", "verified": True}
    for number, buyer in ((3, "kim"), (4, "lee"), (5, "new")):
        await post(client, order(number, buyer, contact_points=[point]))
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/merge-suggestions", params=query)).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 3
    assert {suggestion["channel"] for suggestion in seen} == {"email"}
    assert "example.test" not in json.dumps(seen)
    dismissal = {"member_id": lee, "other_id": kim}
    answer = await post(
        client,
        [dismissal, dismissal, {**dismissal, "other_id": str(new_id())}],
        "/v1/merge-suggestions/dismissals",
    )
    assert codes(answer) == ["accepted", "unchanged", "suggestion_not_found"]
    left = (await client.get("/v1/merge-suggestions")).json()["items"]
    await post(
        client,
        {"surviving_id": left[0]["member_id"], "merged_id": left[0]["other_id"]},
        "/v1/members/merges",
    )
    assert len((await client.get("/v1/merge-suggestions")).json()["items"]) == 1


async def test_further_names(client: httpx.AsyncClient) -> None:
    kim, lee = await _two(client)
    name = {"member_id": kim, "source": "web", "external_id": "k-1"}
    answer = await post(
        client, [name, name, {**name, "member_id": lee}, {**name, "source": ""}], "/v1/members/identities"
    )
    assert codes(answer) == ["accepted", "unchanged", "identity_taken", "invalid_item"]
    found = await client.get("/v1/members", params={"source": "web", "external_id": "k-1"})
    assert [member["member_id"] for member in found.json()["items"]] == [kim]


async def test_an_address_tells_who_an_unknown_name_is_only_if_it_is_verified(
    client: httpx.AsyncClient,
) -> None:
    kim, lee = await _two(client)
    path = "/v1/members/contact-points"
    mail = {"channel": "email", "address": "Kim@Example.test", "verified": True}
    unknown = {"source": "web", "external_id": "k-1"}
    answer = await post(
        client,
        [
            {**mail, **unknown},
            {**mail, "member_id": kim},
            {**mail, "member_id": str(new_id())},
            {**mail, **unknown, "member_id": kim},
            {**mail, "member_id": kim, "address": "nowhere"},
        ],
        path,
    )
    assert codes(answer) == [
        "member_not_found",
        "accepted",
        "member_not_found",
        "invalid_item",
        "invalid_item",
    ]
    assert (await post(client, {**mail, **unknown, "verified": False}, path)).status_code == 404
    done = await post(client, {**mail, **unknown}, path)
    assert (done.status_code, done.json()["member_id"], done.json()["address"]) == (
        201,
        kim,
        "Kim@example.test",
    )
    found = await client.get("/v1/members", params={"source": "web", "external_id": "k-1"})
    assert [member["member_id"] for member in found.json()["items"]] == [kim]
    assert (await post(client, {**mail, "member_id": lee}, path)).status_code == 201
    pairs = (await client.get("/v1/merge-suggestions")).json()["items"]
    assert [{pair["member_id"], pair["other_id"]} for pair in pairs] == [{kim, lee}]
