"""Profiles: merge patches, revisions, the operator's own attributes, groups."""

import asyncio
import json
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.members.domain import Member, Missing, merge_patch, progress_of
from services.members.domain.tiers import Facts, Figures, Ladder, Level, Policy, Window
from services.members.operations import AttributeSchema, attributes, groups
from services.members.settings import settings
from shared.ids import new_id
from tests.members.shop import Shop, order
from tests.members.test_api import client, codes, post

__all__ = ["client"]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "shoe_size": {"type": "number", "minimum": 15},
        "address": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}},
        "since": {"type": "string", "format": "date"},
    },
    "additionalProperties": False,
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
# The examples of RFC 7396, appendix A.
RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "expected"), RFC_7396)
def test_merge_patches_are_those_of_the_rfc(target: Any, patch: Any, expected: Any) -> None:
    assert merge_patch(target, patch) == expected


@given(json_values, json_values)
def test_a_merge_patch_twice_is_the_same_as_once_and_changes_no_argument(target: Any, patch: Any) -> None:
    before = json.dumps([target, patch])
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert json.dumps([target, patch]) == before


def set_to(monkeypatch: pytest.MonkeyPatch, **values: int) -> None:
    """Let operations find other settings, as if the environment had said so."""
    changed = settings().model_copy(update=values)
    for module in (attributes, groups):
        monkeypatch.setattr(module, "settings", lambda: changed)


async def member_of(client: httpx.AsyncClient, number: int = 1) -> str:
    answer = await post(client, order(number, buyer=f"b{number}"))
    member_id: str = answer.json()["member_id"]
    return member_id


async def test_a_patch_on_a_revision_that_is_past_is_refused(client: httpx.AsyncClient) -> None:
    path = f"/v1/members/{await member_of(client)}"
    read = await client.get(path)
    assert read.headers["etag"] == f'"{read.json()["revision"]}"'
    first = await client.patch(path, json={"locale": "fr"}, headers={"If-Match": read.headers["etag"]})
    assert (first.status_code, first.headers["etag"]) == (200, f'"{read.json()["revision"] + 1}"')
    late = await client.patch(path, json={"locale": "de"}, headers={"If-Match": read.headers["etag"]})
    assert (late.status_code, late.json()["code"]) == (412, "revision_conflict")
    assert late.json()["revision"] == first.json()["revision"]
    for allowed in ("*", f'"0", {first.headers["etag"]}'):
        assert (
            await client.patch(path, json={"locale": "fr"}, headers={"If-Match": allowed})
        ).status_code == 200
    for none_of_ours in ("W/" + first.headers["etag"], '"x"', "", '"' + "9" * 19 + '"'):
        answer = await client.patch(path, json={"locale": "it"}, headers={"If-Match": none_of_ours})
        assert answer.status_code == 412, none_of_ours
    assert (await client.get(path)).json()["locale"] == "fr"


async def test_of_two_who_read_the_same_revision_one_wins(client: httpx.AsyncClient) -> None:
    path = f"/v1/members/{await member_of(client)}"
    tag = (await client.get(path)).headers["etag"]
    answers = await asyncio.gather(
        *(client.patch(path, json={"display_name": name}, headers={"If-Match": tag}) for name in "abcdef")
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5


async def test_a_change_that_changes_nothing_says_nothing(client: httpx.AsyncClient, shop: Shop) -> None:
    path = f"/v1/members/{await member_of(client)}"
    await client.patch(path, json={"locale": "fr"})
    said = await shop.types_said()
    assert (await client.patch(path, json={"locale": "fr"})).status_code == 200
    assert (await client.patch(path, json={})).status_code == 200
    assert await shop.types_said() == said


async def test_profiles_in_a_batch_name_members_as_their_source_does(client: httpx.AsyncClient) -> None:
    one, two = await member_of(client, 1), await member_of(client, 2)
    items = [
        {"source": "amazon", "external_id": "b1", "display_name": "One", "revision": 1},
        {"member_id": two, "locale": "xx-not-a-locale-at-all-really"},
        {"member_id": two, "display_name": "Two"},
        {"member_id": one, "locale": "fr", "revision": 1},
        {"member_id": str(new_id()), "locale": "fr"},
        {"source": "amazon", "external_id": "nobody", "locale": "fr"},
        {"member_id": two},
        {"member_id": two, "source": "amazon", "external_id": "b2", "locale": "fr"},
        {"source": "amazon", "locale": "fr"},
        {"member_id": two, "display_name": "Two"},
    ]
    answer = await post(client, items, "/v1/members/profiles")
    assert codes(answer) == [
        "accepted",
        "invalid_item",
        "accepted",
        "revision_conflict",
        "member_not_found",
        "member_not_found",
        "invalid_item",
        "invalid_item",
        "invalid_item",
        "unchanged",
    ]
    assert (await client.get(f"/v1/members/{one}")).json()["display_name"] == "One"
    single = await post(client, {"member_id": two, "display_name": None}, "/v1/members/profiles")
    assert (single.status_code, single.json()) == (
        201,
        {"status": "accepted", "member_id": two, "revision": 3},
    )


async def test_a_late_statement_does_not_replace_a_later_one(client: httpx.AsyncClient) -> None:
    member_id = await member_of(client)
    for locale, day, expected in (
        ("fr", "2026-05-02", "fr"),
        ("de", "2026-05-01", "fr"),
        ("it", "2026-05-03", "it"),
    ):
        item = {"member_id": member_id, "locale": locale, "stated_at": f"{day}T00:00:00Z"}
        await post(client, [item], "/v1/members/profiles")
        assert (await client.get(f"/v1/members/{member_id}")).json()["locale"] == expected


async def test_own_attributes_keep_to_the_schema(client: httpx.AsyncClient, shop: Shop) -> None:
    path = f"/v1/members/{await member_of(client)}"
    before = await client.patch(path, json={"attributes": {"shoe_size": 42}})
    assert (before.status_code, before.json()["code"]) == (422, "attributes_invalid")
    assert (await client.put("/v1/attribute-schema", json=SCHEMA)).json()["version"] == 1
    patched = await client.patch(
        path, json={"attributes": {"shoe_size": 42, "address": {"city": "Oslo", "zip": "1"}}}
    )
    assert patched.json()["attributes"] == {"shoe_size": 42, "address": {"city": "Oslo", "zip": "1"}}
    patched = await client.patch(path, json={"attributes": {"shoe_size": None, "address": {"zip": None}}})
    assert patched.json()["attributes"] == {"address": {"city": "Oslo"}}
    profile = (await shop.said("member.profile"))[-1][2]
    assert profile["attributes"] == {"address": {"city": "Oslo"}}
    for wrong, pointer in (
        ({"shoe_size": 3}, "/shoe_size"),
        ({"address": {"city": 7}}, "/address/city"),
        ({"hat": 1}, ""),
        ({"since": "yesterday"}, "/since"),
    ):
        refused = await client.patch(path, json={"locale": "fr", "attributes": wrong})
        assert (refused.status_code, refused.json()["code"]) == (422, "attributes_invalid")
        assert refused.json()["errors"][0]["pointer"] == pointer
    shown = (await client.get(path)).json()
    assert (shown["locale"], shown["attributes"]) == (None, {"address": {"city": "Oslo"}})
    assert (await client.patch(path, json={"attributes": None})).json()["attributes"] == {}


async def test_true_is_not_one(client: httpx.AsyncClient) -> None:
    path = f"/v1/members/{await member_of(client)}"
    await client.put("/v1/attribute-schema", json={"properties": {"size": {"type": "integer"}}})
    await client.patch(path, json={"attributes": {"size": 1, "gift": 1}})
    refused = await client.patch(path, json={"attributes": {"size": True}})
    assert refused.json()["code"] == "attributes_invalid"
    patched = await client.patch(path, json={"attributes": {"gift": True}})
    assert patched.json()["attributes"]["gift"] is True


async def test_own_attributes_have_a_size(client: httpx.AsyncClient) -> None:
    path = f"/v1/members/{await member_of(client)}"
    await client.put("/v1/attribute-schema", json={"type": "object"})
    fits = "x" * (settings().attributes_bytes - len('{"a":""}'))
    assert (await client.patch(path, json={"attributes": {"a": fits + "x"}})).status_code == 422
    assert (await client.patch(path, json={"attributes": {"a": fits}})).status_code == 200


async def test_numbers_of_any_size_come_back_as_they_went(client: httpx.AsyncClient, shop: Shop) -> None:
    path = f"/v1/members/{await member_of(client)}"
    await client.put("/v1/attribute-schema", json={"type": "object"})
    numbers = {"big": 2**70, "small": -(2**64), "part": 0.125}
    assert (await client.patch(path, json={"attributes": numbers})).json()["attributes"] == numbers
    assert (await shop.said("member.profile"))[-1][2]["attributes"] == numbers


async def test_a_new_schema_says_first_whom_it_would_find_fault_with(client: httpx.AsyncClient) -> None:
    await client.put("/v1/attribute-schema", json=SCHEMA)
    for number, size in ((1, 20), (2, 30), (3, 40)):
        path = f"/v1/members/{await member_of(client, number)}"
        await client.patch(path, json={"attributes": {"shoe_size": size}})
    await member_of(client, 4)
    stricter = {"type": "object", "properties": {"shoe_size": {"minimum": 35}}}
    tried = await client.put("/v1/attribute-schema", params={"dry_run": "true"}, json=stricter)
    found = {"members_checked": 3, "members_violating": 2, "is_complete": True}
    assert tried.json() == {"version": 2, "json_schema": stricter} | found
    assert (await client.get("/v1/attribute-schema")).json() == {"version": 1, "json_schema": SCHEMA}
    assert (await client.put("/v1/attribute-schema", json=stricter)).json() == tried.json()
    assert (await client.put("/v1/attribute-schema", json=stricter)).json()["version"] == 2
    # What violates it now stays, and other things about the member can still be said.
    path = path.replace(path[-36:], (await client.get("/v1/members")).json()["items"][0]["member_id"])
    kept = await client.patch(path, json={"locale": "fr", "attributes": {"shoe_size": 20}})
    assert (kept.status_code, kept.json()["attributes"]) == (200, {"shoe_size": 20})
    assert (await client.patch(path, json={"attributes": {"shoe_size": 21}})).status_code == 422


async def test_more_members_than_one_answer_looks_at(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.put("/v1/attribute-schema", json={"type": "object"})
    for number in range(3):
        path = f"/v1/members/{await member_of(client, number)}"
        await client.patch(path, json={"attributes": {"n": number}})
    set_to(monkeypatch, attribute_check_members=2)
    answer = (await client.put("/v1/attribute-schema", json={"required": ["m"]})).json()
    assert (answer["members_checked"], answer["members_violating"], answer["is_complete"]) == (2, 2, False)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"properties": []},
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "https://example.test/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#"},
        {"properties": {"a": {"pattern": "("}}},
        {"properties": {"a": {"pattern": "^(?=.*x)"}}},
        {"items": {"anyOf": [{"pattern": "(a)\\1"}]}},
        {"patternProperties": {"(?<!a)b": {}}},
        {"pattern": "a{1000}{1000}"},
        {"pattern": "a" * 501},
        {"$defs": {"a": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}},
        {"patternProperties": {"^x": {}}, "unevaluatedProperties": False},
        {"description": "x" * 70_000},
    ],
)
async def test_what_is_no_schema_is_refused(client: httpx.AsyncClient, schema: dict[str, Any]) -> None:
    answer = await client.put("/v1/attribute-schema", json=schema)
    assert (answer.status_code, answer.json()["code"]) == (422, "attribute_schema_invalid")


async def test_a_pattern_that_others_take_hours_for_is_answered_at_once(client: httpx.AsyncClient) -> None:
    # Python's own engine would not be back from the first of these before the sun is gone.
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"a": {"pattern": "^(a+)+$"}, "b": {"$ref": "#"}, "c": {"pattern": "^[0-9]{3}$"}},
        "patternProperties": {"^(x|x)+$": {"type": "number"}},
        "additionalProperties": False,
    }
    assert (await client.put("/v1/attribute-schema", json=schema)).status_code == 200
    path = f"/v1/members/{await member_of(client)}"
    bad = "a" * 10_000 + "!"
    for wrong in ({"a": bad}, {"b": {"a": bad}}, {"x" * 5_000 + "!": 1}, {"x": "no number"}, {"c": "12"}):
        refused = await client.patch(path, json={"attributes": wrong})
        assert (refused.status_code, refused.json()["code"]) == (422, "attributes_invalid"), wrong
    right = {"a": "a" * 5_000, "xx": 1, "c": "123"}
    assert (await client.patch(path, json={"attributes": right})).json()["attributes"] == right


def test_a_schema_from_before_patterns_were_checked_goes_on() -> None:
    schema = AttributeSchema.of(1, {"properties": {"a": {"pattern": "^(?=.*[0-9]).+$"}}})
    assert schema.accepts({"a": "x1"})
    assert not schema.accepts({"a": "x"})


async def test_groups_are_kept_by_hand_and_seen_on_the_profile(client: httpx.AsyncClient, shop: Shop) -> None:
    members = [await member_of(client, number) for number in range(3)]
    path = "/v1/groups/beta-testers"
    assert (await post(client, {"member_id": members[0]}, f"{path}/members")).json()[
        "code"
    ] == "group_not_found"
    assert (await client.put(path, json={"title": "Beta"})).status_code == 204
    assert (await client.put(path, json={"title": "Beta testers"})).status_code == 204
    (group,) = (await client.get("/v1/groups")).json()["items"]
    assert (group["name"], group["title"]) == ("beta-testers", "Beta testers")
    joining = [{"member_id": member_id} for member_id in [*members, members[0], str(new_id())]]
    items = [*joining, {"member_id": members[2], "is_member": False}]
    answer = await post(client, items, f"{path}/members")
    assert codes(answer) == ["accepted"] * 3 + ["unchanged", "member_not_found", "accepted"]
    page = (await client.get(f"{path}/members", params={"limit": 1})).json()
    rest = (await client.get(f"{path}/members", params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert [item["member_id"] for item in page["items"] + rest["items"]] == members[:2]
    assert rest["next_cursor"] is None
    assert (await client.get(f"/v1/members/{members[0]}")).json()["groups"] == ["beta-testers"]
    told = {event["member_id"]: event["groups"] for _, _, event in await shop.said("member.profile")}
    assert [told[member_id] for member_id in members] == [["beta-testers"], ["beta-testers"], []]
    moves = [(kind, event["member_id"]) for kind, _, event in await shop.said("member.grouped")]
    assert sorted(moves) == [("member.grouped", member_id) for member_id in sorted(members[:2])]
    assert (await client.delete(path)).json()["code"] == "group_not_empty"
    leave = [{"member_id": member_id, "is_member": False} for member_id in members]
    assert codes(await post(client, leave, f"{path}/members")) == ["accepted", "accepted", "unchanged"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.delete(path)).status_code == 404
    assert (await client.get(f"{path}/members")).status_code == 404


async def test_a_member_is_in_no_more_groups_than_the_limit(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to(monkeypatch, groups_per_member=1)
    one, two = await member_of(client, 1), await member_of(client, 2)
    for name in ("a", "b"):
        await client.put(f"/v1/groups/{name}", json={})
    await post(client, {"member_id": one}, "/v1/groups/a/members")
    answer = await post(client, [{"member_id": one}, {"member_id": two}], "/v1/groups/b/members")
    assert codes(answer) == ["too_many_groups", "accepted"]


async def test_tags_in_a_batch(client: httpx.AsyncClient) -> None:
    one = await member_of(client)
    items = [
        {"member_id": one, "add": ["tea"], "source": "segment:a"},
        {"member_id": one, "add": ["tea", "new"], "source": "kim", "expires_in_seconds": 60},
        {"member_id": one, "remove": ["tea"], "source": "segment:a"},
        {"member_id": one, "remove": ["never"]},
        {"member_id": str(new_id()), "add": ["tea"]},
        {"member_id": one},
        {"member_id": one, "add": ["x"], "remove": ["x"]},
    ]
    answer = await post(client, items, "/v1/members/tags")
    assert codes(answer) == ["accepted"] * 3 + [
        "unchanged",
        "member_not_found",
        "invalid_item",
        "invalid_item",
    ]
    tags = (await client.get(f"/v1/members/{one}")).json()["tags"]
    assert [(tag["tag"], tag["source"]) for tag in tags] == [("new", "kim"), ("tea", "kim")]


async def test_one_call_shows_a_member_with_the_latest_orders(client: httpx.AsyncClient) -> None:
    for number in range(1, 8):
        at = f"2026-01-{number:02}T12:00:00+00:00"
        await post(client, order(number, placed_at=at, paid_at=at))
    named = await client.get("/v1/members", params={"source": "amazon", "external_id": "kim"})
    member_id = named.json()["items"][0]["member_id"]
    page = (await client.get(f"/v1/members/{member_id}")).json()
    assert [shown["external_order_id"] for shown in page["recent_orders"]] == ["o7", "o6", "o5", "o4", "o3"]
    newest = page["recent_orders"][0]
    assert (newest["state"], newest["lines"][0]["sku"], page["orders_count"]) == ("paid", "CD", 7)
    assert (page["groups"], page["attributes"]) == ([], {})


async def test_members_are_found_by_a_name_of_any_source_or_a_proven_address(
    client: httpx.AsyncClient,
) -> None:
    points = [{"channel": "email", "address": "Kim@Example.TEST", "verified": True}]
    unproven = [{"channel": "email", "address": "lee@example.test"}]
    await post(client, order(1, contact_points=points))
    await post(client, order(2, buyer="lee", contact_points=unproven))
    await post(client, order(3, source="webshop", buyer="lee"))

    async def found(words: str) -> list[str]:
        answer = await client.get("/v1/members", params={"q": words})
        return [item["identities"][0]["external_id"] for item in answer.json()["items"]]

    assert await found("kim") == ["kim"]
    assert await found("lee") == ["lee", "lee"]
    for written in ("Kim@Example.TEST", "Kim@example.test", "kim@example.test", "KIM@EXAMPLE.TEST"):
        assert await found(written) == ["kim"]
    assert await found("lee@example.test") == await found("nobody") == await found("KIM") == []
    for more in ({"source": "amazon"}, {"external_id": "kim"}):
        assert (await client.get("/v1/members", params={"q": "kim"} | more)).status_code == 422


async def test_the_page_says_what_is_missing_to_the_next_tier(client: httpx.AsyncClient) -> None:
    member_id = (await post(client, order(1, total_minor=15_000))).json()["member_id"]
    standing = (await client.get(f"/v1/members/{member_id}")).json()["standing"]
    assert (standing["tier"], standing["next_tier"], standing["missing_spend_minor"]) == (
        "bronze",
        "silver",
        5_000,
    )
    assert (standing["missing_orders"], standing["counts_until"], standing["is_locked"]) == (
        None,
        None,
        False,
    )
    assert standing["counted"]["spend_minor"] == 15_000
    await post(client, order(2, total_minor=900_000))
    standing = (await client.get(f"/v1/members/{member_id}")).json()["standing"]
    assert (standing["tier"], standing["next_tier"], standing["missing_spend_minor"]) == (
        "platinum",
        None,
        None,
    )


def test_what_is_missing_is_counted_in_the_window_and_says_until_when() -> None:
    levels = [Level("base", 0, 0), Level("top", 1, 1_000, min_orders=3)]
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    facts = Facts(
        Figures(5_000, 9, 0),
        {
            date(2026, 3, 1): Figures(400, 1, 0),
            date(2026, 3, 5): Figures(100, 1, 0),
            date(2026, 2, 1): Figures(4_500, 7, 0),
        },
    )
    rolling = Ladder(1, levels, Policy(window=Window("rolling_days", 10)))
    member = Member(new_id(), tier="base", tier_rank=0, tier_version=1)
    way = progress_of(member, rolling, facts, now)
    assert way.missing == Missing(500, 1, None)
    assert way.missing_by == datetime(2026, 3, 11, tzinfo=UTC)
    year = progress_of(member, Ladder(1, levels, Policy(window=Window("calendar_year"))), facts, now)
    assert year.missing == Missing(0, 0, None)
    assert year.missing_by == datetime(2027, 1, 1, tzinfo=UTC)
    member.tier, member.tier_rank = "top", 1
    assert progress_of(member, rolling, facts, now).next_tier is None
