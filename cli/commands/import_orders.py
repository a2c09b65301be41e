"""`regulars import orders`: hand a file of orders to members."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.commands.options import HomeOption, JsonOption
from cli.importing import (
    FileUnreadable,
    ImportAborted,
    ImportPlan,
    MappingError,
    Outcome,
    import_orders,
    load_mapping,
)
from cli.platform import SERVICES, Home
from shared.settings import DEVELOPMENT_KEY

__all__ = ["register"]

EXIT_ABORTED, EXIT_USAGE, EXIT_SOME_REJECTED = 1, 2, 3


def import_orders_command(
    file: Annotated[Path, typer.Argument(help="CSV, whitespace-separated or NDJSON.", show_default=False)],
    mapping: Annotated[
        str, typer.Option(help="cdnow, generic, or the path of a TOML mapping of your own.")
    ] = "generic",
    home: HomeOption = None,
    url: Annotated[
        str | None, typer.Option(help="Address of members; of the platform under the home if left out.")
    ] = None,
    key: Annotated[
        str, typer.Option(help="API key with members:write.", envvar="REGULARS_KEY", show_default=False)
    ] = DEVELOPMENT_KEY,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejected rows go.", show_default="<file>.rejects.csv")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Overrides the mapping's source.")] = None,
    shop: Annotated[str | None, typer.Option(help="Overrides the mapping's shop_id.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed import was.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Import only the first rows.")] = None,
    shift_days: Annotated[
        int | None, typer.Option(help="Move all dates; a mapping may say so itself.", show_default=False)
    ] = None,
    batch_rows: Annotated[int, typer.Option(min=1, max=1000, help="Rows per request.")] = 1000,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait out an outage.")] = 120,
    as_json: JsonOption = False,
) -> None:
    """Import orders from a file: bad rows go to a rejects file, good ones to members.

    Exit code 0: all taken in, or known before. 3: some rows were rejected. 2: the file or mapping cannot be
    used. 1: members could not be reached or refused; --resume goes on.
    """
    console = Console(stderr=True)
    try:
        chosen = load_mapping(mapping).with_constants(source=source, shop_id=shop)
        if file.suffix.lower() in (".ndjson", ".jsonl"):
            chosen = chosen.for_documents()
        plan = ImportPlan(
            file=file,
            mapping=chosen,
            url=url or members_url(Home(home)),
            key=key,
            rejects=rejects or file.with_name(f"{file.name}.rejects.csv"),
            resume=resume,
            limit=limit,
            shift_days=shift_days,
            batch_rows=batch_rows,
            patience_seconds=patience,
        )
        outcome = asyncio.run(_with_progress(plan, console))
    except (FileUnreadable, MappingError) as error:
        console.print(f"[bold red]{error}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_USAGE) from error
    except ImportAborted as error:
        console.print(f"[bold red]{error}[/]", highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_ABORTED) from error
    _show(outcome, as_json)
    if outcome.rejected:
        raise typer.Exit(EXIT_SOME_REJECTED)


def members_url(home: Home) -> str:
    """Where members listens, by the home's state or by default."""
    state = home.state()
    port = state.ports["members"] if state is not None else SERVICES["members"]
    return f"http://127.0.0.1:{port}"


async def _with_progress(plan: ImportPlan, console: Console) -> Outcome:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("orders", total=None)

        def advance(rows: int) -> None:
            progress.update(task, advance=rows, description="orders")

        return await import_orders(
            plan,
            total=lambda rows, done: progress.update(task, total=rows, completed=done),
            advance=advance,
            waiting=lambda reason: progress.update(task, description=f"waiting for members ({reason})"),
        )


def _show(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        facts = {
            "rows": outcome.rows,
            "accepted": outcome.accepted,
            "unchanged": outcome.unchanged,
            "rejected": outcome.rejected,
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
    app.add_typer(imports, name="import")


def _several() -> None:
    """Bring in what other systems know."""
