"""Units of a file: all rows of one order together, wherever they stand."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cli.importing.building import BoundMapping
from cli.importing.reader import Row, RowReader
from cli.importing.status import Documents
from cli.importing.values import RowRefused

__all__ = ["Batch", "Customer", "Unit", "batches", "units"]

Customer = tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Unit:
    """The rows of one order and what becomes of them: documents, or the reason why there are none."""

    rows: list[Row]
    documents: Documents | None
    refusal: str = ""

    @property
    def customer(self) -> Customer:
        """Whose order it is; None if that is not known."""
        return None if self.documents is None else self.documents.customer


def units(reader: RowReader, bound: BoundMapping | None, limit: int | None) -> Iterator[Unit]:
    """Every unit of the file, in the order in which they are complete.

    A first look at the file notes where each order ends. So the rows of an order need not stand together, and
    no more is held in memory than what has begun and not ended. `limit` counts rows; an order that has begun
    is read to its end.
    """
    last = _last_rows(reader, bound)
    begun: dict[tuple[str, ...], list[Row]] = {}
    for position, row in enumerate(reader.rows(), 1):
        key = bound.key(row.cells) if bound is not None and row.cells is not None else None
        over = limit is not None and position > limit
        if over and key not in begun:
            if not begun:
                return
            continue
        if key is None:
            yield _unit([row], bound)
            continue
        rows = begun.setdefault(key, [])
        rows.append(row)
        if last[hash(key)] <= position:
            yield _unit(begun.pop(key), bound)
    # Two keys of one hash end where the later one does, so that neither is cut.
    for rows in begun.values():
        yield _unit(rows, bound)


def _last_rows(reader: RowReader, bound: BoundMapping | None) -> dict[int, int]:
    """The position of the last row of every order, by the hash of its key: a file has millions of them."""
    last: dict[int, int] = {}
    if bound is None or not bound.groups_rows:
        return last
    for position, row in enumerate(reader.rows(), 1):
        key = bound.key(row.cells) if row.cells is not None else None
        if key is not None:
            last[hash(key)] = position
    return last


def _unit(rows: list[Row], bound: BoundMapping | None) -> Unit:
    first = rows[0]
    if first.document is not None:
        return Unit(rows, Documents(first.document))
    if bound is None or first.cells is None:
        return Unit(rows, None, first.problem or "nothing in it")
    try:
        return Unit(rows, bound.documents([(row.cells or [], row.number, row.line) for row in rows]))
    except RowRefused as refusal:
        return Unit(rows, None, str(refusal))


@dataclass
class Batch:
    """Some units of the file that are posted together."""

    number: int
    units: list[Unit] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """How many rows they are."""
        return sum(len(unit.rows) for unit in self.units)

    @property
    def customers(self) -> set[Customer]:
        """Whose orders are in it."""
        return {unit.customer for unit in self.units if unit.customer is not None}

    def split_off(self, customer: Customer) -> "Batch":
        """Begin the next batch, with this one's last units if they are of `customer` and not all it has."""
        cut = len(self.units)
        while cut and customer is not None and self.units[cut - 1].customer == customer:
            cut -= 1
        following = Batch(self.number + 1)
        if cut:
            following.units, self.units = self.units[cut:], self.units[:cut]
        return following


def batches(found: Iterator[Unit], batch_rows: int) -> Iterator[Batch]:
    """Cut a file into batches, where it can be between two customers, and never within an order.

    Files are often sorted by customer; without that cut each batch would wait for the one before it.
    """
    batch, rows = Batch(0), 0
    for unit in found:
        if batch.units and rows + len(unit.rows) > batch_rows:
            following = batch.split_off(unit.customer)
            yield batch
            batch, rows = following, following.row_count
        batch.units.append(unit)
        rows += len(unit.rows)
    if batch.units:
        yield batch
