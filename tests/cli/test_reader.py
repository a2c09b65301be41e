"""Reading rows: their lines, their text, and rows that are none."""

from pathlib import Path

import pytest

from cli.importing.mapping import FileLayout
from cli.importing.reader import FileUnreadable, Row, RowReader

CSV = FileLayout("csv", "utf-8")


def rows(tmp_path: Path, content: bytes, layout: FileLayout = CSV) -> list[Row]:
    path = tmp_path / "orders"
    path.write_bytes(content)
    return list(RowReader(path, layout).rows())


def test_rows_know_the_line_they_begin_on_and_the_text_they_were(tmp_path: Path) -> None:
    found = rows(tmp_path, b'a,b\r\n1,"x\r\ny"\r\n\r\n2,z\r\n')
    assert [(row.number, row.line, row.cells) for row in found] == [
        (1, 2, ["1", "x\r\ny"]),
        (2, 5, ["2", "z"]),
    ]
    assert found[0].raw == '1,"x\r\ny"'


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert RowReader(path, CSV).columns == ["a", "b"]


def test_one_row_of_another_encoding_spares_its_neighbours(tmp_path: Path) -> None:
    found = rows(tmp_path, b"a\nok\nM\xfcller\nfine\n")
    assert [row.cells for row in found] == [["ok"], None, ["fine"]]
    assert "not utf-8" in (found[1].problem or "")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04", "spreadsheet"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old spreadsheet"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, start: bytes, kind: str) -> None:
    with pytest.raises(FileUnreadable, match=kind):
        rows(tmp_path, start)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="cannot be opened"):
        RowReader(tmp_path / "none.csv", CSV)


def test_whitespace_separated_rows(tmp_path: Path) -> None:
    found = rows(tmp_path, b" a  b \r\n 1  2 \r\n\r\n 3   4\r\n", FileLayout("whitespace", "ascii"))
    assert [(row.number, row.line, row.cells) for row in found] == [(1, 2, ["1", "2"]), (2, 4, ["3", "4"])]


def test_lines_of_documents(tmp_path: Path) -> None:
    found = rows(tmp_path, b'{"a": 1}\n[1]\n{"a": \n\n{"a": 2}\n', FileLayout("ndjson", "utf-8"))
    assert [row.document for row in found] == [{"a": 1}, None, None, {"a": 2}]
    assert [row.line for row in found] == [1, 2, 3, 5]
    assert all("not an object of JSON" in (row.problem or "") for row in found[1:3])


def test_a_line_that_is_too_long_is_one_row_and_spares_its_neighbours(tmp_path: Path) -> None:
    for layout, start in ((CSV, b'1,"'), (CSV, b"1,"), (FileLayout("ndjson", "utf-8"), b'{"a": "')):
        long = start + b"x" * 3_000_000 + b',"y\n'
        found = rows(tmp_path, b"a,b\n" + long + b"[1,2\n", layout)[-2:]
        assert [(row.line, row.document) for row in found] == [(2, None), (3, None)]
        assert "more than 1,000,000 characters" in (found[0].problem or "")
        assert found[1].raw == "[1,2"


def test_chinese_as_spreadsheets_save_it_is_read(tmp_path: Path) -> None:
    auto = FileLayout("csv", "auto")
    text = "订单号,产品信息\n8012,【1】 Tasse “rot”，两件\n"
    assert [row.cells for row in rows(tmp_path, text.encode("gb18030"), auto)] == [
        ["8012", "【1】 Tasse “rot”，两件"]
    ]
    western = "order,name\n8012,Zoë Müller\n8013,Façade à Côté\n"
    assert [row.cells for row in rows(tmp_path, western.encode("cp1252"), auto)][1] == [
        "8013",
        "Façade à Côté",
    ]
