"""`regulars import`: hand a file of orders, or what came after them, to members, and of points to points."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.commands.options import HomeOption, JsonOption, MembersUrlOption, PointsUrlOption, key_option
from cli.importing import (
    FileUnreadable,
    ImportAborted,
    ImportPlan,
    MappingError,
    Outcome,
    holds_documents,
    import_file,
    load_mapping,
)
from cli.platform import Home
from shared.settings import DEVELOPMENT_KEY

__all__ = ["register"]

EXIT_ABORTED, EXIT_USAGE, EXIT_SOME_REJECTED = 1, 2, 3

COMMANDS = {
    "order": "orders",
    "refund": "refunds",
    "cancellation": "cancellations",
    "delivery": "deliveries",
    "opening": "points",
}
"""Which command imports what a mapping makes."""

FileArgument = Annotated[
    Path, typer.Argument(help="CSV, tab-separated, whitespace-separated or NDJSON.", show_default=False)
]
KeyOption = Annotated[str, key_option("members:write")]
RejectsOption = Annotated[
    Path | None, typer.Option(help="Where rejected rows go.", show_default="<file>.rejects.csv")
]
SourceOption = Annotated[str | None, typer.Option(help="Overrides the mapping's source.")]
ShopOption = Annotated[str | None, typer.Option(help="Overrides the mapping's shop_id.")]
ZoneOption = Annotated[
    str | None, typer.Option(help="IANA zone of the file's times, if not the mapping's.", show_default=False)
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on where a killed import was.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Import only the first rows.")]
RowsOption = Annotated[int, typer.Option(min=1, max=1000, help="Rows per request.")]
PatienceOption = Annotated[float, typer.Option(min=0, help="Seconds to wait out an outage.")]


def import_orders_command(
    file: FileArgument,
    mapping: Annotated[
        str,
        typer.Option(
            help="aliexpress, amazon, cdnow, ebay, generic, or the path of a TOML mapping of your own."
        ),
    ] = "generic",
    home: HomeOption = None,
    url: MembersUrlOption = None,
    key: KeyOption = DEVELOPMENT_KEY,
    rejects: RejectsOption = None,
    source: SourceOption = None,
    shop: ShopOption = None,
    zone: ZoneOption = None,
    resume: ResumeOption = False,
    limit: LimitOption = None,
    shift_days: Annotated[
        int | None, typer.Option(help="Move all dates; a mapping may say so itself.", show_default=False)
    ] = None,
    batch_rows: RowsOption = 1000,
    patience: PatienceOption = 120,
    as_json: JsonOption = False,
) -> None:
    """Import orders from a file: bad rows go to a rejects file, good ones to members.

    Exit code 0: all taken in, or known before, or there was none. 3: some rows were rejected. 2: the file or
    mapping cannot be used. 1: members could not be reached or refused; --resume goes on.
    """
    _import(
        file, "order", mapping, url or Home(home).url("members"), key, rejects, source, shop, zone, as_json,
        patience_seconds=patience, resume=resume, limit=limit, shift_days=shift_days, batch_rows=batch_rows,
    )  # fmt: skip


def _of_orders(kind: str, name: str, summary: str) -> Callable[..., None]:
    """The command that imports what is said after an order: they differ in what they make only."""

    def command(
        file: FileArgument,
        mapping: Annotated[
            str, typer.Option(help=f"{name}, or the path of a TOML mapping of your own.")
        ] = name,
        home: HomeOption = None,
        url: MembersUrlOption = None,
        key: KeyOption = DEVELOPMENT_KEY,
        rejects: RejectsOption = None,
        source: SourceOption = None,
        shop: ShopOption = None,
        zone: ZoneOption = None,
        resume: ResumeOption = False,
        batch_rows: RowsOption = 1000,
        patience: PatienceOption = 120,
        as_json: JsonOption = False,
    ) -> None:
        _import(
            file, kind, mapping, url or Home(home).url("members"), key, rejects, source, shop, zone, as_json,
            patience_seconds=patience, resume=resume, batch_rows=batch_rows,
        )  # fmt: skip

    command.__doc__ = summary
    return command


import_refunds_command = _of_orders(
    "refund",
    "refunds",
    "Import refunds from a file, by line where it says so; one whose order is not here yet waits for it.",
)
import_cancellations_command = _of_orders(
    "cancellation",
    "cancellations",
    "Import cancellations from a file; one whose order is not here yet waits for it.",
)
import_deliveries_command = _of_orders(
    "delivery",
    "deliveries",
    "Import what was delivered from a file; what is not paid yet waits for its payment.",
)


def import_points_command(
    file: FileArgument,
    mapping: Annotated[
        str, typer.Option(help="points, or the path of a TOML mapping of your own.")
    ] = "points",
    home: HomeOption = None,
    url: PointsUrlOption = None,
    members: Annotated[
        str | None, typer.Option(help="Address of members, where customers are looked up.")
    ] = None,
    key: Annotated[str, key_option("points:admin, and members:read to look customers up")] = DEVELOPMENT_KEY,
    rejects: RejectsOption = None,
    source: SourceOption = None,
    zone: ZoneOption = None,
    resume: ResumeOption = False,
    limit: LimitOption = None,
    batch_rows: RowsOption = 1000,
    patience: PatienceOption = 120,
    as_json: JsonOption = False,
) -> None:
    """Import points that members had elsewhere, a lot per row with its dates; each row once, by its row_id.

    Customers that are named by an id of their shop are looked up at members: import their orders first.
    """
    where = Home(home)
    _import(
        file, "opening", mapping, url or where.url("points"), key, rejects, source, None, zone,
        as_json, members_url=members or where.url("members"), patience_seconds=patience, resume=resume,
        limit=limit, batch_rows=batch_rows,
    )  # fmt: skip


def _import(
    file: Path,
    kind: str,
    mapping: str,
    url: str,
    key: str,
    rejects: Path | None,
    source: str | None,
    shop: str | None,
    zone: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    console = Console(stderr=True)
    try:
        chosen = load_mapping(mapping).with_constants(source=source, shop_id=shop).with_zone(zone)
        if chosen.kind != kind:
            raise MappingError(
                f"The mapping {chosen.name!r} makes {chosen.kind}s; use `import {COMMANDS[chosen.kind]}`."
            )
        if holds_documents(file):
            chosen = chosen.for_documents()
        plan = ImportPlan(
            file=file,
            mapping=chosen,
            url=url,
            key=key,
            rejects=rejects or file.with_name(f"{file.name}.rejects.csv"),
            **options,
        )
        outcome = asyncio.run(_with_progress(plan, console))
    except (FileUnreadable, MappingError) as error:
        console.print(f"[bold red]{error}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_USAGE) from error
    except ImportAborted as error:
        console.print(f"[bold red]{error}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_ABORTED) from error
    _show(outcome, as_json)
    if not outcome.rows:
        console.print(f"[yellow]{escape(str(file))} holds no rows: nothing was imported.[/]", soft_wrap=True)
    if outcome.rejected:
        raise typer.Exit(EXIT_SOME_REJECTED)


async def _with_progress(plan: ImportPlan, console: Console) -> Outcome:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("rows", total=None)

        def advance(rows: int) -> None:
            progress.update(task, advance=rows, description="rows")

        return await import_file(
            plan,
            total=lambda rows, done: progress.update(task, total=rows, completed=done),
            advance=advance,
            waiting=lambda reason: progress.update(task, description=f"waiting ({reason})"),
        )


def _show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        facts = {
            "rows": outcome.rows,
            "accepted": outcome.accepted,
            "unchanged": outcome.unchanged,
            "rejected": outcome.rejected,
            "rejected_rows": outcome.rejected_rows,
            "cancelled": outcome.cancelled,
            "refunded": outcome.refunded,
            "pending": outcome.pending,
            "skipped": outcome.skipped,
            "codes": dict(outcome.codes),
            "rejects": str(outcome.rejects) if outcome.rejects else None,
            "shift_days": outcome.shift_days,
            "seconds": round(outcome.seconds, 3),
        }
        print(json.dumps(facts))
        return
    console = Console()
    table = Table(show_header=False, box=None)
    table.add_row("accepted", f"{outcome.accepted:,}")
    table.add_row("unchanged", f"{outcome.unchanged:,}")
    for name, count in (("cancelled", outcome.cancelled), ("refunded", outcome.refunded)):
        if count:
            table.add_row(f"  {name}", f"{count:,}")
    if outcome.pending:
        table.add_row("pending, not yet priced", f"{outcome.pending:,}")
    table.add_row("rejected", f"{outcome.rejected:,}")
    for code, count in outcome.codes.most_common(10):
        table.add_row(f"  {code}", f"{count:,}")
    console.print(table)
    if outcome.shift_days:
        console.print(f"dates were moved by {outcome.shift_days:,} days", highlight=False)
    if outcome.rejects:
        console.print(f"rejected rows, each with its reason: {outcome.rejects}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    imports = typer.Typer(help="Bring in what other systems know.", no_args_is_help=True)
    imports.callback()(_several)
    imports.command("orders")(import_orders_command)
    imports.command("refunds")(import_refunds_command)
    imports.command("cancellations")(import_cancellations_command)
    imports.command("deliveries")(import_deliveries_command)
    imports.command("points")(import_points_command)
    app.add_typer(imports, name="import")


def _several() -> None:
    """Bring in what other systems know."""
