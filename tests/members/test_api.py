"""The API as a storefront sees it, above all when the storefront is wrong."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.members.app import service
from services.members.settings import MembersSettings
from shared.auth import create_key
from shared.database import Database
from shared.ids import new_id
from shared.testing import api_client
from tests.members.shop import Shop, cancellation, day, delivery, order, refund

NDJSON = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json"}


@pytest.fixture
async def client(members_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    settings = MembersSettings(database_url=members_database.url, role="api")
    async with api_client(service.application(settings), key="rk_development") as caller:
        yield caller


async def post(client: httpx.AsyncClient, body: Any, path: str = "/v1/orders") -> httpx.Response:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    return await client.post(path, content=content, headers=JSON)


def codes(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [
        result["problem"]["code"] if result["status"] == "refused" else result["status"]
        for result in answer.json()["results"]
    ]


async def test_one_order(client: httpx.AsyncClient) -> None:
    first, again = await post(client, order(1)), await post(client, order(1))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {
        "status": "accepted",
        "order_id": first.json()["order_id"],
        "member_id": first.json()["member_id"],
        "state": "paid",
    }
    assert again.json() == first.json() | {"status": "unchanged"}
    shown = (await client.get(f"/v1/orders/{first.json()['order_id']}")).json()
    assert (shown["external_order_id"], shown["lines"][0]["sku"], shown["state"]) == ("o1", "CD", "paid")


async def test_an_array_and_lines(client: httpx.AsyncClient) -> None:
    documents = [order(number) for number in range(3)]
    answer = await post(client, documents)
    assert codes(answer) == ["accepted"] * 3
    assert (answer.json()["accepted"], answer.json()["refused"]) == (3, 0)
    lines = "\n".join(json.dumps(document) for document in [*documents, order(9)]) + "\n\n"
    answer = await client.post("/v1/orders", content=lines, headers=NDJSON)
    assert codes(answer) == ["unchanged"] * 3 + ["accepted"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"surprise": 1}, "/surprise"),
    ({"currency": "XYZ"}, "/currency"),
    ({"currency": None}, "/currency"),
    ({"placed_at": "2999-01-01T00:00:00Z"}, "/placed_at"),
    ({"paid_at": "2026-01-01T00:00:00"}, "/paid_at"),
    ({"placed_at": 1_700_000_000}, "/placed_at"),
    ({"placed_at": "yesterday"}, "/placed_at"),
    ({"shipping_minor": -1}, "/shipping_minor"),
    ({"shipping_minor": 2**63}, "/shipping_minor"),
    ({"shipping_minor": 10**30}, "/shipping_minor"),
    ({"shipping_minor": 1.5}, "/shipping_minor"),
    ({"shipping_minor": "100"}, "/shipping_minor"),
    ({"shipping_minor": True}, "/shipping_minor"),
    ({"lines": []}, "/lines"),
    ({"lines": [{"sku": "a", "quantity": 0, "unit_price_minor": 1}]}, "/lines/0/quantity"),
    ({"lines": [{"sku": "a", "quantity": 10**9, "unit_price_minor": 10**16}]}, "/lines/0/unit_price_minor"),
    ({"lines": [{"sku": "a", "quantity": 1, "unit_price_minor": 1, "discount_minor": 2}]}, "/lines/0"),
    ({"lines": {"sku": "a"}}, "/lines"),
    ({"source": ""}, "/source"),
    ({"source": "a b"}, "/source"),
    ({"external_order_id": "a\x00b"}, "/external_order_id"),
    ({"external_order_id": "\ud800"}, "/external_order_id"),
    ({"external_order_id": 7}, "/external_order_id"),
    ({"external_customer_id": "x" * 201}, "/external_customer_id"),
    ({"external_order_id": "tab\there"}, "/external_order_id"),
    ({"customer": {"country": "usa"}}, "/customer/country"),
    ({"customer": {"time_zone": "Mars/Base"}}, "/customer/time_zone"),
    ({"customer": {"birthday": "2026-02-30"}}, "/customer/birthday"),
    ({"customer": {"display_name": "K\x00"}}, "/customer/display_name"),
    ({"contact_points": [{"channel": "email", "address": "nobody"}]}, "/contact_points/0"),
    ({"participation": {"activity_id": "x"}}, "/participation/activity_id"),
    ({"paid_at": None, "payment_id": "p"}, ""),
]


async def test_bad_items_are_pointed_at_and_spare_their_neighbours(client: httpx.AsyncClient) -> None:
    documents = [order("bad") | fields for fields, _ in BAD]
    answer = await post(client, [order(1), *documents, order(2)])
    assert codes(answer) == ["accepted", *["invalid_item"] * len(BAD), "accepted"]
    for (fields, pointer), result in zip(BAD, answer.json()["results"][1:-1], strict=True):
        problem = result["problem"]
        assert problem["status"] == 422
        assert problem["errors"][0]["pointer"].startswith(pointer), fields


async def test_a_bad_order_alone_is_a_bad_request(client: httpx.AsyncClient) -> None:
    for fields, pointer in BAD:
        alone = await post(client, order("bad") | fields)
        assert (alone.status_code, alone.json()["code"]) == (422, "invalid_request"), fields
        assert alone.headers["content-type"] == "application/problem+json"
        assert alone.json()["errors"][0]["pointer"].startswith(pointer), fields


async def test_rules_refuse_with_their_own_codes(client: httpx.AsyncClient) -> None:
    answer = await post(client, [order(1), order(1, total_minor=5), order(2) | {"total_minor": 999}])
    assert codes(answer) == ["accepted", "order_conflict", "order_total_mismatch"]
    alone = await post(client, order(1, total_minor=5))
    assert (alone.status_code, alone.json()["code"]) == (409, "order_conflict")


NO_BATCH: list[tuple[bytes, int, str]] = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b"[{]", 400, "malformed_json"),
    (b"[1,", 400, "malformed_json"),
    (b"\xff\xfe", 400, "malformed_json"),
    (b"[" * 20_000, 400, "malformed_json"),
    (b"[" + b"9" * 5_000 + b"]", 400, "malformed_json"),
    (b"[]", 422, "invalid_request"),
    (b"null", 422, "invalid_request"),
    (b'"order"', 422, "invalid_request"),
    (b"7", 422, "invalid_request"),
]


async def test_bodies_that_are_no_batch(client: httpx.AsyncClient) -> None:
    for body, status, code in NO_BATCH:
        answer = await post(client, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body[:20]


async def test_items_that_are_no_objects(client: httpx.AsyncClient) -> None:
    answer = await post(client, b'[null, 7, "x", [], {}]')
    assert codes(answer) == ["invalid_item"] * 5


async def test_a_line_that_is_no_json_spares_the_others(client: httpx.AsyncClient) -> None:
    lines = "\n".join([json.dumps(order(1)), '{"source":', json.dumps(order(2))])
    answer = await client.post("/v1/orders", content=lines, headers=NDJSON)
    assert codes(answer) == ["accepted", "invalid_item", "accepted"]


@pytest.mark.parametrize("headers", [JSON, NDJSON])
async def test_1001_orders_are_too_many(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    documents = [json.dumps(order(number)) for number in range(1_001)]
    body = "\n".join(documents) if headers is NDJSON else f"[{','.join(documents)}]"
    answer = await client.post("/v1/orders", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_items")
    assert (await client.get("/v1/summary")).json()["orders"]["total"] == 0


async def test_a_thousand_orders_are_not(client: httpx.AsyncClient, shop: Shop) -> None:
    answer = await post(client, [order(number, f"c{number % 300}") for number in range(1_000)])
    assert answer.json()["accepted"] == 1_000
    await shop.audit()


async def test_a_body_beyond_10_mib_is_too_large(client: httpx.AsyncClient) -> None:
    answer = await post(client, b"[" + b" " * (10 * 1024 * 1024) + b"]")
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_another_media_type_is_not_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/orders", content="a,b", headers={"content-type": "text/csv"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_keys_and_scopes(members_database: Database) -> None:
    async with members_database.transaction() as session:
        reader = await create_key(session, name="reader", scopes=["members:read", "points:write"])
        writer = await create_key(session, name="writer", scopes=["members:write"])
    settings = MembersSettings(database_url=members_database.url, role="api")
    async with api_client(service.application(settings)) as client:

        async def status(method: str, path: str, key: str | None, body: Any = None) -> tuple[int, str]:
            headers = {} if key is None else {"X-API-Key": key}
            answer = await client.request(method, path, headers=headers, json=body)
            return answer.status_code, answer.json().get("code", "")

        assert await status("POST", "/v1/orders", None, order(1)) == (401, "unauthenticated")
        assert await status("POST", "/v1/orders", "rk_no_such_key", order(1)) == (401, "unauthenticated")
        assert await status("POST", "/v1/orders", reader.secret, order(1)) == (403, "forbidden")
        assert await status("POST", "/v1/orders", writer.secret, order(1)) == (201, "")
        assert await status("GET", "/v1/summary", writer.secret) == (403, "forbidden")
        assert await status("GET", "/v1/summary", reader.secret) == (200, "")
        tiers = [{"name": "base", "rank": 0, "min_spend_minor": 0}]
        assert await status("PUT", "/v1/tiers", writer.secret, tiers) == (403, "forbidden")


async def test_an_idempotency_key_gives_the_first_answer_again(client: httpx.AsyncClient, shop: Shop) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await client.post("/v1/orders", json=[order(1)], headers=headers)
    again = await client.post("/v1/orders", json=[order(1)], headers=headers)
    other = await client.post("/v1/orders", json=[order(2)], headers=headers)
    assert codes(first) == codes(again) == ["accepted"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len(await shop.said("order.paid")) == 1


async def test_a_rehearsal_leaves_nothing_behind(client: httpx.AsyncClient, shop: Shop) -> None:
    answer = await client.post("/v1/orders", params={"dry_run": "true"}, json=[order(1)])
    assert codes(answer) == ["accepted"]
    assert await shop.types_said() == []
    assert (await shop.summary()).members == 0


async def test_refunds_and_cancellations(client: httpx.AsyncClient) -> None:
    early = await post(client, refund(1, "a", 400), "/v1/refunds")
    assert (early.status_code, early.json()) == (
        202,
        {"status": "accepted", "refund_id": "a", "state": "parked"},
    )
    waiting = (await client.get("/v1/refunds", params={"state": "parked"})).json()["items"]
    assert [item["refund_id"] for item in waiting] == ["a"]
    await post(client, order(1))
    answer = await post(
        client, [refund(1, "a", 400), refund(1, "b", 601), refund(1, "c", 600)], "/v1/refunds"
    )
    assert codes(answer) == ["unchanged", "refund_exceeds_order", "accepted"]
    assert answer.json()["results"][2]["complete"] is True
    done = await post(client, cancellation(1), "/v1/cancellations")
    assert (done.status_code, done.json()["state"]) == (201, "applied")
    assert (await post(client, [cancellation(2)], "/v1/cancellations")).json()["results"][0][
        "state"
    ] == "parked"
    bad = await post(client, [refund(1, "d", -1), cancellation(1)], "/v1/refunds")
    assert codes(bad) == ["invalid_item", "invalid_item"]
    twice = [{"line_no": 1, "quantity": 1, "amount_minor": 1}] * 2
    assert codes(await post(client, [refund(1, "e", 2, lines=twice)], "/v1/refunds")) == ["invalid_item"]
    both = await post(client, [delivery(1), delivery(2), delivery(1, delivered_at=day(9))], "/v1/deliveries")
    assert codes(both) == ["accepted", "accepted", "delivery_conflict"]
    assert [item.get("state") for item in both.json()["results"]] == ["applied", "parked", None]
    assert (await post(client, delivery(4), "/v1/deliveries")).status_code == 202
    told = await client.get(f"/v1/orders/{both.json()['results'][0]['order_id']}")
    assert told.json()["delivered_at"].startswith(day(4)[:19])
    summary = (await client.get("/v1/summary")).json()
    assert summary["parked_deliveries"] == 2
    assert summary["orders"] == {"placed": 0, "paid": 0, "refunded": 0, "cancelled": 1, "total": 1}
    assert (summary["revenue_minor"], summary["refunded_minor"]) == ({"USD": 1_000}, {"USD": 1_000})


async def test_members_are_found_by_id_by_name_and_by_page(client: httpx.AsyncClient) -> None:
    await post(client, [order(number, f"c{number}") for number in range(5)])
    found = (await client.get("/v1/members", params={"source": "amazon", "external_id": "c3"})).json()
    (member,) = found["items"]
    assert member["identities"] == [{"source": "amazon", "external_id": "c3"}]
    page = (await client.get(f"/v1/members/{member['member_id']}")).json()
    assert (page | member) == page
    assert (await client.get("/v1/members", params={"source": "x", "external_id": "y"})).json()["items"] == []
    assert (await client.get("/v1/members", params={"source": "x"})).status_code == 422
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/members", params=query)).json()
        seen += [each["member_id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(set(seen)) == len(seen) == 5
    assert (await client.get("/v1/members", params={"cursor": "x"})).json()["code"] == "invalid_cursor"
    missing = await client.get(f"/v1/members/{new_id()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "member_not_found")


async def test_a_members_orders_come_the_latest_first(client: httpx.AsyncClient) -> None:
    documents = [order(number, placed_at=day(number % 3 + 1)) for number in range(5)]
    member_id = (await post(client, documents)).json()["results"][0]["member_id"]
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(f"/v1/members/{member_id}/orders", params=query)).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    times = [item["placed_at"] for item in seen]
    assert times == sorted(times, reverse=True)
    assert len({item["order_id"] for item in seen}) == 5
    assert (await client.get(f"/v1/members/{new_id()}/orders")).status_code == 404
    assert (await client.get(f"/v1/orders/{new_id()}")).json()["code"] == "order_not_found"


async def test_profile_tags_and_consent(client: httpx.AsyncClient) -> None:
    member_id = (await post(client, order(1))).json()["member_id"]
    path = f"/v1/members/{member_id}"
    patched = await client.patch(path, json={"locale": "pt-BR", "birthday": "1988-02-29"})
    assert (patched.json()["locale"], patched.json()["birthday"]) == ("pt-BR", "1988-02-29")
    assert (await client.patch(path, json={"locale": None})).json()["locale"] is None
    assert (await client.patch(path, json={"tier": "gold"})).status_code == 422
    assert (await client.patch(f"/v1/members/{new_id()}", json={})).status_code == 404
    tags = (await client.put(f"{path}/tags", json={"tags": ["vip", "eu"]})).json()["tags"]
    assert [(tag["tag"], tag["source"]) for tag in tags] == [("eu", "development"), ("vip", "development")]
    left = await client.request("DELETE", f"{path}/tags", params={"tag": ["eu", "x"]})
    assert [tag["tag"] for tag in left.json()["tags"]] == ["vip"]
    assert (await client.put(f"{path}/tags", json={"tags": []})).status_code == 422
    said = {
        "member_id": member_id,
        "channel": "email",
        "purpose": "marketing",
        "granted": True,
        "actor": "kim",
    }
    assert (await client.post("/v1/consents", json=said)).json()["status"] == "accepted"
    stranger = said | {"member_id": str(new_id())}
    answer = await client.post("/v1/consents", json=[said, stranger, said | {"purpose": "spam"}])
    assert codes(answer) == ["unchanged", "member_not_found", "invalid_item"]
    assert (await client.get(path)).json()["consents"][0]["granted"] is True


async def test_the_tier_table(client: httpx.AsyncClient) -> None:
    await post(client, order(1, total_minor=30_000))
    table = (await client.get("/v1/tiers")).json()
    assert [tier["name"] for tier in table["tiers"]] == ["bronze", "silver", "gold", "platinum"]
    tiers = [
        {"name": "base", "rank": 0, "min_spend_minor": 0},
        {"name": "top", "rank": 9, "min_spend_minor": 1_000, "benefits": {"free_shipping": True}},
    ]
    rehearsed = await client.put("/v1/tiers", params={"dry_run": "true"}, json=tiers)
    assert (rehearsed.json()["members_up"], rehearsed.json()["version"]) == (1, 2)
    assert (await client.get("/v1/tiers")).json() == table
    assert (await client.put("/v1/tiers", json=tiers)).status_code == 200
    assert (await client.get("/v1/tiers")).json()["tiers"][1]["benefits"] == {"free_shipping": True}
    for bad in ([], tiers * 2, [tiers[0] | {"rank": 10}, tiers[1]]):
        assert (await client.put("/v1/tiers", json=bad)).status_code == 422


async def test_the_documentation_shows_what_an_order_looks_like(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    content = schema["paths"]["/v1/orders"]["post"]["requestBody"]["content"]
    one, several = content["application/json"]["schema"]["oneOf"]
    assert one["properties"]["lines"]["items"]["properties"]["sku"]["type"] == "string"
    assert several["maxItems"] == 1_000
    assert "application/x-ndjson" in content
    assert "$ref" not in json.dumps(content)
