"""Daily sales as rows of JSON and of CSV (RFC 4180)."""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from fastapi import Response
from sqlalchemy import Row

from services.analytics.operations import GroupBy
from services.analytics.schemas import DailySalesOut

__all__ = ["csv_of", "shaped_rows", "wants_csv"]

NUMBERS: Final = ("orders", "units", "revenue_minor", "refunded_minor", "cohort_refunded_minor")
GROUP_COLUMNS: Final[dict[GroupBy | None, tuple[str, ...]]] = {
    None: (),
    "shop": ("source", "shop_id"),
    "channel": ("channel",),
    "product": ("source", "product_id", "title"),
}
NAMES: Final = {"shop": "shop_id", "channel": "channel", "product": "product_id"}
# A spreadsheet runs a cell that begins like this as a formula, and shops' names are theirs to choose.
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(accept: str) -> bool:
    """Whether an Accept header prefers `text/csv` to JSON."""
    weights = {"text/csv": 0.0, "application/json": 0.0}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media in weights:
            weights[media] = _weight(parameters)
    return weights["text/csv"] > weights["application/json"]


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def shaped_rows(rows: Sequence[Row[Any]], group_by: GroupBy | None) -> list[DailySalesOut]:
    """Rows under the names that fit the grouping."""
    shaped = []
    for row in rows:
        values: dict[str, Any] = dict(row._mapping)
        if group_by is not None:
            values[NAMES[group_by]] = values.pop("key")
        shaped.append(DailySalesOut(**values))
    return shaped


def csv_of(rows: Sequence[DailySalesOut], group_by: GroupBy | None, name: str) -> Response:
    """The rows as a CSV file with a header line."""
    columns = ("day", *GROUP_COLUMNS[group_by], "currency", *NUMBERS, "revision")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(getattr(row, column)) for column in columns])
    return Response(
        out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"},
    )


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value
