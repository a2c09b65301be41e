"""The exports of marketplaces, as they really look, and what becomes of them in members."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.importing import ImportPlan, import_file, load_mapping
from cli.importing.progress import Reject, Rejects
from cli.importing.reader import RowReader
from cli.importing.units import units
from shared.settings import DEVELOPMENT_KEY
from tests.cli.test_import import members as members

FILES = Path(__file__).parent / "files"
AMAZON, EBAY, ALIEXPRESS = "amazon_all_orders.txt", "ebay_orders.csv", "aliexpress_orders.csv"


def read(name: str, mapping: str) -> tuple[dict[str, Any], dict[tuple[int, ...], str]]:
    """What a file becomes: documents by order number, and reasons by the lines that they are about."""
    chosen = load_mapping(mapping)
    reader = RowReader(FILES / name, chosen.layout)
    good, bad = {}, {}
    for unit in units(reader, chosen.bound(reader.columns), None):
        if unit.documents is None:
            bad[tuple(row.line for row in unit.rows)] = unit.refusal
            continue
        said = unit.documents.main or unit.documents.cancellation or {}
        good[said["external_order_id"]] = unit.documents
    return good, bad


def worth(order: dict[str, Any]) -> int:
    goods = sum(
        line["quantity"] * line["unit_price_minor"] - line.get("discount_minor", 0) for line in order["lines"]
    )
    return goods + order.get("shipping_minor", 0) - order.get("discount_minor", 0)


def test_amazon_rows_of_one_order_are_its_lines_wherever_they_stand() -> None:
    good, bad = read(AMAZON, "amazon")
    order = good["114-0000001-0000002"].main
    assert [(line["sku"], line["quantity"]) for line in order["lines"]] == [("MUG-RED", 1), ("TOWEL", 3)]
    assert (order["placed_at"], order["currency"]) == ("2026-03-09T18:00:00Z", "USD")
    # 19.99 + 1.60 + 3.00 + 0.24 - 2.00, 30.00 + 2.40, 4.32 + 2.16 - 4.00
    assert worth(order) == 2_283 + 3_240 + 248
    assert [line["tax_minor"] for line in order["lines"]] == [184, 240]
    single = good["114-3941689-8772232"].main
    assert single["lines"][0]["title"] == 'Enamel mug 12" rim, blue'
    assert worth(single) == 3_998 + 320 + 599 + 48
    # Nobody is named, so every order is somebody's own.
    assert single["external_customer_id"] == "order:114-3941689-8772232"
    assert set(bad) == {(8,), (9,)}
    assert "'two' is not a whole number" in bad[8,]
    assert "'Returning soon': name it in [status] words" in bad[9,]


def test_amazon_states() -> None:
    good, _ = read(AMAZON, "amazon")
    assert good["114-3941689-8772232"].main["paid_at"] == "2026-03-09T17:11:12Z"
    assert "paid_at" not in good["114-0000001-0000003"].main
    called_off = good["114-0000001-0000004"]
    assert called_off.main is None
    assert called_off.cancellation["cancelled_at"] == "2026-03-12T10:00:00Z"


def test_what_amazon_has_delivered_is_paid_and_delivered(tmp_path: Path) -> None:
    copy = altered(tmp_path, AMAZON, ("\tShipped\t", "\tShipped - Delivered to Buyer\t"))
    good, _ = read(copy, "amazon")
    delivered = [each for each in good.values() if each.delivery is not None]
    assert delivered
    for each in delivered:
        assert each.main["paid_at"] <= each.delivery["delivered_at"]
        assert set(each.delivery) == {"source", "shop_id", "external_order_id", "delivered_at"}


def test_ebay_finds_its_header_reads_prices_and_passes_over_what_is_no_order() -> None:
    good, bad = read(EBAY, "ebay")
    assert set(good) == {"24-15229-61546", "04-15250-08826", "04-15250-08827"}
    first = good["24-15229-61546"].main
    assert (first["currency"], first["shipping_minor"]) == ("USD", 500)
    assert first["lines"][0]["unit_price_minor"] == 123_456
    assert (first["external_customer_id"], first["country"]) == ("mowl_to", "US")
    assert first["placed_at"] == "2026-03-09T19:00:00Z"
    several = good["04-15250-08826"].main
    assert [(line["sku"], line["quantity"], line["unit_price_minor"]) for line in several["lines"]] == [
        ("TOWEL", 2, 1_200),
        ("335512345680", 1, 1_250),
    ]
    assert (several["currency"], several["shipping_minor"], worth(several)) == ("EUR", 490, 4_140)
    assert several["customer"] == {"display_name": "Jac Geo"}
    # Half past one happened twice that night: the first time counts. Half past two of 8 March never was.
    assert several["placed_at"] == "2026-11-01T08:30:00Z"
    assert several["paid_at"] == "2026-03-08T10:30:00Z"
    assert "paid_at" not in good["04-15250-08827"].main
    assert "country" not in good["04-15250-08827"].main
    (reason,) = bad.values()
    assert "12.345 €" in reason
    assert "set `decimal` in the mapping" in reason


def test_aliexpress_takes_lines_out_of_one_cell_and_shares_what_they_cost() -> None:
    good, bad = read(ALIEXPRESS, "aliexpress")
    first, several = good["3031265788145237"].main, good["3031265788145238"].main
    assert first["placed_at"] == "2026-03-09T08:30:00Z"
    assert [(line["sku"], line["title"]) for line in first["lines"]] == [("MUG-BLUE", "Enamel mug blue")]
    assert (worth(first), first["discount_minor"], first["country"]) == (2_468, 100, "ES")
    assert [(line["sku"], line["quantity"]) for line in several["lines"]] == [("TOWEL", 2), ("POT", 1)]
    assert worth(several) == 900
    # One person, told by name, post code and phone, whose name nobody can read back.
    assert first["external_customer_id"] == several["external_customer_id"]
    assert "Ana" not in first["external_customer_id"]
    unpaid = good["3031265788145239"]
    assert ("paid_at" in unpaid.main, worth(unpaid.main)) == (False, 124_000)
    assert unpaid.main["external_customer_id"] != first["external_customer_id"]
    closed, refunded = good["3031265788145240"], good["3031265788145241"]
    assert closed.cancellation is not None
    assert worth(closed.main) == 500
    assert refunded.refund["amount_minor"] == 1_200
    assert refunded.refund["lines"] == [{"line_no": 1, "quantity": 3, "amount_minor": 1_000}]
    assert list(bad.values()) == ["products: there is no line in it"]


def plan(url: str, folder: Path, name: str, mapping: str) -> ImportPlan:
    return ImportPlan(
        file=FILES / name,
        mapping=load_mapping(mapping),
        url=url,
        key=DEVELOPMENT_KEY,
        rejects=folder / "rejects.csv",
        patience_seconds=30,
    )


async def summary(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {DEVELOPMENT_KEY}"}) as client:
        found: dict[str, Any] = (await client.get(f"{url}/v1/summary")).json()
    return found


@pytest.mark.parametrize(
    ("name", "mapping", "accepted", "rejected_rows", "states"),
    [
        (AMAZON, "amazon", 4, 2, {"placed": 1, "paid": 2, "refunded": 0, "cancelled": 0}),
        (EBAY, "ebay", 3, 1, {"placed": 1, "paid": 2, "refunded": 0, "cancelled": 0}),
        (ALIEXPRESS, "aliexpress", 5, 1, {"placed": 1, "paid": 2, "refunded": 1, "cancelled": 1}),
    ],
)
async def test_an_export_goes_in_once_with_its_states_and_each_bad_row_comes_back(
    members: str,
    tmp_path: Path,
    name: str,
    mapping: str,
    accepted: int,
    rejected_rows: int,
    states: dict[str, int],
) -> None:
    # Small batches, so that orders whose rows stand apart would be cut if anything cut them.
    chosen = replace(plan(members, tmp_path, name, mapping), batch_rows=2)
    outcome = await import_file(chosen)
    with chosen.rejects.open(newline="") as file:
        rejects = list(csv.DictReader(file))
    assert (outcome.accepted, outcome.rejected_rows) == (accepted, rejected_rows), rejects
    assert {reject["code"] for reject in rejects} == {"unreadable_row"}
    assert all(reject["reason"] for reject in rejects)
    found = (await summary(members))["orders"]
    assert {state: found[state] for state in states} == states
    again = await import_file(chosen)
    assert (again.accepted, again.unchanged, again.rejected_rows) == (0, accepted, rejected_rows)


async def test_an_order_that_amazon_has_not_priced_yet_is_left_for_a_later_export(
    members: str, tmp_path: Path
) -> None:
    unpriced = ("\tUnshipped\t1\tUSD\t10.00\t0.80\t", "\tUnshipped\t1\t\t\t\t")
    chosen = replace(
        plan(members, tmp_path, AMAZON, "amazon"), file=Path(altered(tmp_path, AMAZON, unpriced))
    )
    outcome = await import_file(chosen)
    assert (outcome.pending, outcome.accepted, outcome.rejected_rows, outcome.rows) == (1, 3, 2, 8)
    # One that has shipped has a price, or something is wrong with it.
    shipped = altered(tmp_path, AMAZON, unpriced, ("\tPending\t", "\tShipped\t"))
    _, bad = read(shipped, "amazon")
    assert bad[4,] == "item-price is empty"
    again = await import_file(replace(chosen, file=FILES / AMAZON))
    assert (again.pending, again.accepted, again.unchanged) == (0, 1, 3)


ORDERS = """order_id;customer_id;currency;placed_at;paid_at;sku;quantity;unit_price
A;kim;USD;2026-03-01T12:00:00Z;2026-03-01T12:00:00Z;MUG;2;10.00
A;kim;USD;2026-03-01T12:00:00Z;2026-03-01T12:00:00Z;POT;1;30.00
B;kim;USD;2026-03-01T12:00:00Z;2026-03-01T12:00:00Z;POT;1;30.00
"""
REFUNDS = """order_id refund_id refunded_at currency amount shipping line_no quantity line_amount reason
A r1 2026-03-09T12:00:00Z USD 20.00 - 1 1 10.00 Damaged
A r1 2026-03-09T12:00:00Z USD 20.00 - 2 0 10.00 -
B r2 2026-03-09T12:00:00Z USD 30.00 - - - - -
B r3 2026-03-09T12:00:00Z USD 0.01 - - - - -
later r4 2026-03-09T12:00:00Z USD 5.00 - - - - -
A r5 2026-03-09T12:00:00Z USD much - - - - -
""".replace(" -", " ").replace(" ", "\t")


async def test_refunds_and_cancellations_come_by_imports_of_their_own(members: str, tmp_path: Path) -> None:
    for name, text in (("orders.csv", ORDERS), ("refunds.tsv", REFUNDS)):
        (tmp_path / name).write_text(text)
    (tmp_path / "cancellations.csv").write_text("order_id,cancelled_at,reason\nA,2026-03-10T12:00:00Z,x\n")

    def of(name: str, mapping: str) -> ImportPlan:
        return replace(plan(members, tmp_path, name, mapping), file=tmp_path / name)

    assert (await import_file(of("orders.csv", "generic"))).accepted == 2
    refunds = of("refunds.tsv", "refunds")
    outcome = await import_file(refunds)
    assert (outcome.accepted, outcome.rejected, outcome.rows) == (3, 2, 6)
    with refunds.rejects.open(newline="") as file:
        rejects = {(reject["line"], reject["code"]) for reject in csv.DictReader(file)}
    assert rejects == {("5", "refund_exceeds_order"), ("7", "unreadable_row")}
    found = await summary(members)
    assert (found["refunded_minor"], found["parked_refunds"]) == ({"USD": 5_000}, 1)
    again = await import_file(refunds)
    assert (again.accepted, again.unchanged, again.rejected) == (0, 3, 2)
    (tmp_path / "deliveries.csv").write_text(
        "order_id,delivered_at\nA,2026-03-10T12:00:00Z\nlater,2026-03-10T12:00:00Z\nA,2026-03-11T12:00:00Z\n"
    )
    outcome = await import_file(of("deliveries.csv", "deliveries"))
    assert (outcome.accepted, outcome.codes) == (2, {"delivery_conflict": 1})
    assert (await import_file(of("cancellations.csv", "cancellations"))).accepted == 1
    assert (await summary(members))["orders"]["cancelled"] == 1


def test_another_zone_moves_the_wall_clock_and_nothing_else() -> None:
    chosen = load_mapping("aliexpress").with_zone("Asia/Shanghai")
    reader = RowReader(FILES / ALIEXPRESS, chosen.layout)
    first = next(units(reader, chosen.bound(reader.columns), None)).documents
    assert first is not None
    assert first.main is not None
    assert first.main["placed_at"] == "2026-03-08T17:30:00Z"


def altered(folder: Path, name: str, *changes: tuple[str, str], encoding: str = "utf-8") -> str:
    """The path of a copy of an export, with some texts changed."""
    written = {AMAZON: "utf-8-sig", EBAY: "cp1252", ALIEXPRESS: "utf-16"}[name]
    content = (FILES / name).read_bytes().decode(written)
    for old, new in changes:
        assert old in content
        content = content.replace(old, new)
    path = folder / name
    path.write_bytes(content.encode(encoding))
    return str(path)


@pytest.mark.parametrize(
    ("name", "mapping"), [(AMAZON, "amazon"), (EBAY, "ebay"), (ALIEXPRESS, "aliexpress")]
)
def test_the_rejects_of_an_export_are_read_as_its_rows_were(tmp_path: Path, name: str, mapping: str) -> None:
    _, bad = read(name, mapping)
    chosen = load_mapping(mapping)
    reader = RowReader(FILES / name, chosen.layout)
    wrong = [row for row in reader.rows() if any(row.line in lines for lines in bad)]
    kept = Rejects(tmp_path / "rejects.csv", reader.header)
    kept.add(Reject(row.line, row.number, "unreadable_row", "because", row.raw) for row in wrong)
    kept.close()
    again = RowReader(tmp_path / "rejects.csv", chosen.layout)
    assert again.columns == reader.columns
    assert list(again.rows()) == wrong
    assert read(str(tmp_path / "rejects.csv"), mapping) == ({}, bad)


def test_ebay_sales_that_stand_twice_count_once(tmp_path: Path) -> None:
    reader = RowReader(FILES / EBAY, load_mapping("ebay").layout)
    row = next(row for row in reader.rows() if "24-15229-61546" in row.raw)
    good, _ = read(altered(tmp_path, EBAY, (row.raw, f"{row.raw}\r\n{row.raw}")), "ebay")
    once, _ = read(EBAY, "ebay")
    assert good == once
    otherwise = row.raw.replace("1,234.56", "1,000.00")
    good, bad = read(altered(tmp_path, EBAY, (row.raw, f"{row.raw}\r\n{otherwise}")), "ebay")
    assert "24-15229-61546" not in good
    assert any("a line that stands there before, and otherwise" in reason for reason in bad.values())


def test_ebay_addresses_that_are_none_are_left_out(tmp_path: Path) -> None:
    reader = RowReader(FILES / EBAY, load_mapping("ebay").layout)
    row = next(row for row in reader.rows() if "24-15229-61546" in row.raw)
    assert row.cells is not None
    address = row.cells[reader.columns.index("buyer_email")]
    good, _ = read(altered(tmp_path, EBAY, (address, "Invalid Request")), "ebay")
    assert good["24-15229-61546"].main["contact_points"] == []


def test_aliexpress_is_read_in_the_encoding_and_currency_of_china(tmp_path: Path) -> None:
    good, _ = read(altered(tmp_path, ALIEXPRESS, ("US $", "CN￥"), encoding="gb18030"), "aliexpress")
    as_it_was, _ = read(ALIEXPRESS, "aliexpress")
    assert set(good) == set(as_it_was)
    assert {order.main["currency"] for order in good.values()} == {"CNY"}


def test_order_numbers_that_a_spreadsheet_has_shortened_are_refused(tmp_path: Path) -> None:
    shortened = [(f"303126578814523{n}", "3.03E+15") for n in (7, 8)]
    good, bad = read(altered(tmp_path, ALIEXPRESS, *shortened), "aliexpress")
    assert not any("E+" in number for number in good)
    assert any("a number that a spreadsheet has shortened" in reason for reason in bad.values())


def test_a_currency_that_is_not_known_is_said_once(tmp_path: Path) -> None:
    _, bad = read(altered(tmp_path, ALIEXPRESS, ("US $", "¤ ")), "aliexpress")
    assert all(reason.count("names no currency") <= 1 for reason in bad.values())
