"""The HTTP surface: the figures, and a clear answer to whatever else comes in."""

import csv
import io
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from services.analytics.settings import AnalyticsSettings
from shared.database import Database
from shared.testing import api_client
from tests.analytics.world import ACTIVITY, envelope, hear, history, of, paid
from tests.fixtures.services import service_named

KEY = "rk_development"
RANGE = {"from": "2026-03-01", "to": "2026-03-31"}


@pytest.fixture
async def client(analytics_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    await hear(analytics_database, history())
    app = service_named("analytics").application(settings(analytics_database))
    async with api_client(app, key=KEY) as caller:
        yield caller


def settings(database: Database) -> AnalyticsSettings:
    return AnalyticsSettings(database_url=database.url, role="api", database_pool_size=4)


async def test_the_summary_is_what_was_heard(client: httpx.AsyncClient) -> None:
    found = (await client.get("/v1/summary")).json()
    orders = [paid(number) for number in range(24)]
    # The frozen example of order.paid is one more, in dollars.
    assert found["orders"] == 25
    assert found["revenue_minor"]["EUR"] == sum(o.total_minor for o in orders if o.currency == "EUR")
    assert found["revenue_minor"]["JPY"] == sum(o.total_minor for o in orders if o.currency == "JPY")
    events = found["events"]
    assert events["received"] == events["stored"] + events["duplicate"] + events["rejected"]
    assert events["stored"] == len(history())
    assert found["as_of"]
    assert found["revision"] > 0
    assert found["members"] == 7 + 1


async def test_daily_sales_page_by_page_are_all_of_them(client: httpx.AsyncClient) -> None:
    for group_by in ({}, {"group_by": "shop"}, {"group_by": "channel"}, {"group_by": "product"}):
        whole = (await client.get("/v1/sales/daily", params=RANGE | group_by)).json()
        pages, cursor = [], None
        while True:
            query = RANGE | group_by | {"limit": "7"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/sales/daily", params=query)).json()
            pages += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert pages == whole["items"]
        assert len(pages) > 7


async def test_daily_sales_as_csv(client: httpx.AsyncClient) -> None:
    query = RANGE | {"group_by": "product", "currency": "USD"}
    answer = await client.get("/v1/sales/daily", params=query, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    as_json = (await client.get("/v1/sales/daily", params=query)).json()["items"]
    assert [(row["day"], row["product_id"], int(row["revenue_minor"])) for row in rows] == [
        (row["day"], row["product_id"], row["revenue_minor"]) for row in as_json
    ]


ACCEPTED = {
    "text/csv": "text/csv; charset=utf-8",
    "text/csv;q=0.4, application/json": "application/json",
    "application/json;q=0.1, text/csv;q=0.9": "text/csv; charset=utf-8",
    "*/*": "application/json",
    "text/csv;q=often": "application/json",
}


async def test_the_accept_header_chooses(client: httpx.AsyncClient) -> None:
    for accept, kind in ACCEPTED.items():
        answer = await client.get("/v1/sales/daily", params=RANGE, headers={"Accept": accept})
        assert answer.headers["content-type"] == kind, accept


async def test_a_name_cannot_become_a_formula(analytics_database: Database) -> None:
    await hear(analytics_database, [envelope(paid(1, shop_id="=cmd|' /C calc'!A0"))])
    app = service_named("analytics").application(settings(analytics_database))
    async with api_client(app, key=KEY) as client:
        query = RANGE | {"group_by": "shop"}
        answer = await client.get("/v1/sales/daily", params=query, headers={"Accept": "text/csv"})
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert row["shop_id"] == "'=cmd|' /C calc'!A0"


async def test_a_member_by_recency_frequency_and_value(client: httpx.AsyncClient) -> None:
    member = of("member", 1)
    found = (await client.get(f"/v1/members/{member}")).json()
    orders = [paid(number) for number in range(24) if number % 7 == 1]
    assert found["member_id"] == str(member)
    assert found["frequency"] == len(orders)
    assert found["tier"] == "silver"
    assert found["last_order_at"] == max(order.paid_at for order in orders).isoformat().replace("+00:00", "Z")
    assert found["revenue_minor"]["USD"] == sum(o.total_minor for o in orders if o.currency == "USD")
    assert found["monetary_minor"]["USD"] == found["revenue_minor"]["USD"] - found["refunded_minor"]["USD"]
    assert found["recency_days"] >= 0


async def test_campaigns(client: httpx.AsyncClient) -> None:
    found = (await client.get(f"/v1/campaigns/{ACTIVITY}")).json()
    assert found["funnel"]["groups_opened"] == found["funnel"]["links_shared"] == 3
    assert found["funnel"]["seats_paid"] == 6
    assert found["funnel"]["followers"] == 3
    assert found["money"][0]["currency"] == "USD"
    first = (await client.get("/v1/campaigns", params={"limit": 1})).json()
    second = (await client.get("/v1/campaigns", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert first["items"][0]["activity_id"] > second["items"][0]["activity_id"]
    assert any(
        item["activity_id"] == str(ACTIVITY) for item in (await client.get("/v1/campaigns")).json()["items"]
    )


async def test_the_books_and_the_verification(client: httpx.AsyncClient) -> None:
    books = (await client.get("/v1/ingest")).json()["items"]
    assert sum(row["received"] for row in books) == len(history())
    assert {row["source"] for row in books} == {"members", "points", "campaigns", "messaging"}
    verified = (await client.get("/v1/verification")).json()
    assert verified["consistent"] is True
    assert set(verified["differing_rows"].values()) == {0}


BAD_INPUT: list[tuple[str, int, str | None]] = [
    ("/v1/sales/daily?from=2026-02-30", 422, "invalid_request"),
    ("/v1/sales/daily?from=yesterday", 422, "invalid_request"),
    ("/v1/sales/daily?from=2026-03-02&to=2026-03-01", 422, "range_too_long"),
    ("/v1/sales/daily?from=0001-01-01&to=9999-12-31", 422, "range_too_long"),
    ("/v1/sales/daily?to=0001-01-01", 200, None),
    ("/v1/sales/daily?group_by=colour", 422, "invalid_request"),
    ("/v1/sales/daily?currency=usd", 422, "invalid_request"),
    ("/v1/sales/daily?limit=0", 422, "invalid_request"),
    ("/v1/sales/daily?limit=1001", 422, "invalid_request"),
    ("/v1/sales/daily?cursor=made-up", 400, "invalid_cursor"),
    ("/v1/members/nobody", 422, "invalid_request"),
    (f"/v1/members/{uuid4()}", 404, "member_not_found"),
    (f"/v1/campaigns/{uuid4()}", 404, "campaign_not_found"),
    ("/v1/campaigns?cursor=made-up", 400, "invalid_cursor"),
    ("/report?from=2026-03-02&to=2026-03-01", 422, "range_too_long"),
    ("/report?from=0001-01-01&to=0001-01-02", 422, "range_too_long"),
    ("/report?to=0001-01-01", 422, "range_too_long"),
    ("/report?currency=%3Cb%3E", 422, "invalid_request"),
    ("/report?currency=CHF", 200, None),
]


async def test_bad_input_gets_a_clear_answer(client: httpx.AsyncClient) -> None:
    for path, status, code in BAD_INPUT:
        answer = await client.get(path)
        assert answer.status_code == status, (path, answer.text)
        if code is not None:
            assert answer.headers["content-type"] == "application/problem+json", path
            assert answer.json()["code"] == code, path


async def test_too_many_rows_for_a_file(
    analytics_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hear(analytics_database, history())
    few = AnalyticsSettings(csv_max_rows=3)
    monkeypatch.setattr("services.analytics.api.figures.settings", lambda: few)
    app = service_named("analytics").application(settings(analytics_database))
    async with api_client(app, key=KEY) as client:
        answer = await client.get("/v1/sales/daily", params=RANGE, headers={"Accept": "text/csv"})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_rows")


async def test_figures_need_a_key(analytics_database: Database) -> None:
    app = service_named("analytics").application(settings(analytics_database))
    async with api_client(app) as client:
        for path in ("/v1/summary", "/v1/sales/daily", "/v1/ingest", "/v1/verification"):
            assert (await client.get(path)).status_code == 401, path
            assert (await client.get(path, headers={"X-API-Key": "rk_wrong"})).status_code == 401, path


async def test_the_report_is_open_on_this_machine_only(analytics_database: Database) -> None:
    app = service_named("analytics").application(settings(analytics_database))
    async with api_client(app) as here:
        assert (await here.get("/report")).status_code == 200
        forwarded = await here.get("/report", headers={"X-Forwarded-For": "203.0.113.9"})
        assert forwarded.status_code == 401
    app = service_named("analytics").application(settings(analytics_database))
    async with api_client(app, client=("203.0.113.9", 1)) as elsewhere:
        assert (await elsewhere.get("/report")).status_code == 401


async def test_the_report_without_any_figure_is_a_page(analytics_database: Database) -> None:
    app = service_named("analytics").application(settings(analytics_database))
    async with api_client(app, key=KEY) as client:
        answer = await client.get("/report")
    assert answer.status_code == 200
    assert "No revenue in these days" in answer.text
