"""How the demo looks."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.demo.job import DemoResult

__all__ = ["Screen", "show"]

STEPS = {
    "start": "starting PostgreSQL and five services",
    "intake": "handing over orders",
    "drain": "events on their way",
    "returns": "every 50th order comes back",
    "afternoon": "group-buy afternoon",
    "reconcile": "reconciling",
    "loyalty": "rewards, draws and a merge",
    "month": "a month later by the ledger's clock",
    "stop": "stopping",
}


class Screen:
    """Progress bars, one per phase, on standard error."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._most = 0

    def __enter__(self) -> "Screen":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()
        self._progress.stop()

    def step(self, name: str) -> None:
        """A new phase begins."""
        self._finish()
        self._task = self._progress.add_task(STEPS[name], total=None, note="")

    def intake(self, done: int, of: int) -> None:
        """So many orders have been handed over."""
        self._update(total=of, completed=done, note=f"{done:,} of {of:,}")

    def left(self, items: int) -> None:
        """So many records and messages are still on their way."""
        self._most = max(self._most, items)
        self._update(total=self._most, completed=self._most - items, note=f"{items:,} left")

    def _finish(self) -> None:
        if self._task is not None:
            self._update(total=1, completed=1)
            self._task = None

    def _update(self, **fields: Any) -> None:
        if self._task is not None:
            self._progress.update(self._task, **fields)


def show(result: DemoResult, console: Console) -> None:
    """Print the results and the reconciliation."""
    facts = result.facts()
    console.print(_results(facts))
    console.print(_reconciliation(result))
    if result.reconciled:
        console.print(f"[bold green]Everything reconciles.[/] {len(result.checks)} checks hold.")
    else:
        wrong = sum(not check.holds for check in result.checks)
        console.print(f"[bold red]{wrong} of {len(result.checks)} checks do not hold.[/]")


def _results(facts: dict[str, Any]) -> Table:
    carrier = "Apache Kafka" if facts["bus"] == "kafka" else "PostgreSQL"
    table = Table(title=f"Regulars on {carrier}", title_justify="left", show_header=False, min_width=56)
    table.add_column("what", no_wrap=True, ratio=1)
    table.add_column("how much", justify="right", no_wrap=True)
    orders, seconds = facts["orders"], facts["seconds"]
    table.add_row("orders taken in", f"{orders:,}")
    table.add_row("members", f"{facts['members']:,}")
    table.add_row("revenue", f"${facts['revenue_minor'] / 100:,.2f}")
    table.add_row("points earned", f"{facts['points_earned']:,}")
    table.add_row("points expired since", f"{facts['points_expired']:,}")
    table.add_row("tier upgrades", f"{facts['tier_upgrades']:,}")
    table.add_row("welcome mails delivered", f"{facts['emails_delivered']:,}", end_section=True)
    table.add_row("groups formed, failed", f"{facts['groups_formed']}, {facts['groups_failed']}")
    table.add_row("refunds asked for and made", f"{facts['refunds_requested']}")
    table.add_row("orders returned, whole or in part", f"{facts['refunds'] - facts['refunds_requested']:,}")
    table.add_row(
        "points taken back, points spent", f"{facts['points_clawed_back']:,}, {facts['points_spent']:,}"
    )
    table.add_row("coupons bought with points", f"{facts['afternoon']['coupons_issued']}")
    table.add_row("dead letters", f"{facts['dead_letters']}", end_section=True)
    table.add_row("from the first order to all idle", f"{seconds:.1f} s")
    table.add_row("orders per second, through all five", f"{orders / max(seconds, 0.001):,.0f}")
    return table


def _reconciliation(result: DemoResult) -> Table:
    table = Table(title="Reconciliation", title_justify="left", min_width=56)
    table.add_column("")
    table.add_column("figure", no_wrap=True)
    table.add_column("independently", justify="right")
    table.add_column("by the services", justify="right")
    for check in result.checks:
        mark = "[green]✓[/]" if check.holds else "[bold red]✗[/]"
        table.add_row(mark, check.name, _written(check.expected), _written(check.actual))
    return table


def _written(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        if set(value) == {"USD"}:
            return f"{value['USD']:,}"
        return "\n".join(f"{name} {count:,}" for name, count in sorted(value.items()))
    if isinstance(value, tuple):
        return ", ".join(_written(part) for part in value)
    return str(value)
