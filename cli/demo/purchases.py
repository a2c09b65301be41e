"""What the services must come to, computed from the input file alone and by other means than theirs."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import metadata
from itertools import islice
from pathlib import Path

__all__ = ["DatasetMissing", "Purchase", "Purchases", "dataset", "tier", "tiers"]

DISTRIBUTION, FILE = "lifetimes", "CDNOW_master.txt"

POINTS_LIVE = timedelta(days=365)
# The tiers that a new installation has, by spend in cents.
LEVELS = (("platinum", 150_000), ("gold", 50_000), ("silver", 20_000), ("bronze", 0))


class DatasetMissing(RuntimeError):
    """The purchase history is not installed."""


def dataset() -> Path:
    """Where the purchase history lies. The package that carries it is never imported."""
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == FILE:
            return Path(str(file.locate()))
    raise DatasetMissing(
        f"{FILE} is not here: it ships inside the package {DISTRIBUTION}, which `make demo` installs."
    )


@dataclass(frozen=True, slots=True)
class Purchase:
    """One row of the file, its date moved."""

    customer: str
    paid_at: datetime
    cents: int

    @property
    def points(self) -> int:
        """One point per whole dollar."""
        return self.cents // 100


class Purchases:
    """The rows that are played, and what follows from them."""

    def __init__(self, path: Path, *, limit: int | None = None, today: date | None = None) -> None:
        """The first `limit` rows, moved by whole days so that the last of them was the day before `today`."""
        with path.open(encoding="ascii") as file:
            next(file)
            fields = [line.split() for line in islice(file, limit)]
        latest = max(datetime.strptime(row[1], "%Y%m%d").replace(tzinfo=UTC).date() for row in fields)
        self.shift_days = ((today or datetime.now(UTC).date()) - timedelta(days=1) - latest).days
        shift = timedelta(days=self.shift_days)
        self.rows: Sequence[Purchase] = [
            Purchase(customer, _noon(day) + shift, _cents(dollars)) for customer, day, _, dollars in fields
        ]

    @property
    def orders(self) -> int:
        """How many."""
        return len(self.rows)

    @property
    def members(self) -> int:
        """How many different customers."""
        return len({row.customer for row in self.rows})

    @property
    def revenue_minor(self) -> int:
        """All cents."""
        return sum(row.cents for row in self.rows)

    @property
    def points_earned(self) -> int:
        """The sum of each order's whole dollars."""
        return sum(row.points for row in self.rows)

    def points_expired(self, now: datetime) -> int:
        """The points of orders that were paid 365 days ago or more."""
        return sum(row.points for row in self.rows if row.paid_at + POINTS_LIVE <= now)

    def spend(self) -> dict[str, int]:
        """Cents by customer."""
        spend: defaultdict[str, int] = defaultdict(int)
        for row in self.rows:
            spend[row.customer] += row.cents
        return spend


def tiers(spend: dict[str, int]) -> dict[str, int]:
    """How many customers each tier has, by what they spent."""
    return dict(Counter(map(tier, spend.values())))


def tier(cents: int) -> str:
    """The tier that a spend earns."""
    return next(name for name, least in LEVELS if cents >= least)


def _noon(day: str) -> datetime:
    return datetime.combine(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date(), time(12), tzinfo=UTC)


def _cents(dollars: str) -> int:
    whole, _, cents = dollars.partition(".")
    return int(whole) * 100 + int(cents)
