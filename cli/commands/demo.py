"""`regulars demo`: the main job on real input, from an empty directory to books that balance."""

import json
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import httpx
import typer
from rich.console import Console

from cli.commands.options import BusName, BusOption, JsonOption
from cli.demo import DatasetMissing, DemoFailed, play
from cli.demo.client import Refused, Stuck
from cli.demo.screen import Screen, show
from cli.importing import ImportAborted
from cli.platform import SERVICES
from cli.platform.platform import Platform, PlatformDidNotStart, free_ports

__all__ = ["register"]


def demo(
    bus: BusOption = BusName.postgres,
    as_json: JsonOption = False,
    limit: Annotated[
        int | None, typer.Option(min=1000, help="Play only the first orders.", show_default="all 69,659")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Keep what is printed as an SVG, too.", dir_okay=False)
    ] = None,
) -> None:
    """Play 69,659 real orders through all five services and check the books to the cent.

    Everything happens in a temporary directory and on free ports. Exit code 0 only if everything reconciles.
    """
    errors = Console(stderr=True)
    signal.signal(signal.SIGTERM, _interrupted)
    home = Path(tempfile.mkdtemp(prefix="regulars-demo-"))
    *ports, mail_port = free_ports(len(SERVICES) + 1)
    by_service = dict(zip(SERVICES, ports, strict=True))
    platform = Platform(
        home,
        bus=bus.value,
        ports=by_service,
        mail_port=mail_port,
        mail_sink=True,
        # Servers of yours are not for playing with.
        database_url="",
        kafka_bootstrap="",
    )
    try:
        with Screen(errors) as screen:
            result = play(platform, screen, limit=limit)
    except KeyboardInterrupt:
        shutil.rmtree(home, ignore_errors=True)
        errors.print("stopped")
        raise typer.Exit(130) from None
    except (
        DatasetMissing,
        DemoFailed,
        ImportAborted,
        PlatformDidNotStart,
        Refused,
        Stuck,
        httpx.HTTPError,
    ) as error:
        errors.print(
            f"[bold red]The demo did not come to its end.[/] {error}", highlight=False, soft_wrap=True
        )
        errors.print(f"Logs are in {home / 'logs'}", soft_wrap=True)
        raise typer.Exit(1) from error
    if as_json:
        print(json.dumps(result.facts()))
    else:
        console = Console(record=picture is not None, width=80 if picture else None)
        show(result, console)
        if picture is not None:
            # Rich would have the picture fetch a font from elsewhere; every terminal has one of its own.
            drawn = console.export_svg(title="make demo")
            picture.write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))
    if not result.reconciled:
        errors.print(f"Logs are in {home / 'logs'}", soft_wrap=True)
        raise typer.Exit(1)
    shutil.rmtree(home, ignore_errors=True)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)
