"""Options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["BusName", "BusOption", "HomeOption", "JsonOption"]


class BusName(StrEnum):
    """Which carrier of events to use."""

    postgres = "postgres"
    kafka = "kafka"


HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Directory of the platform's data.", envvar="REGULARS_HOME", show_default=".regulars"
    ),
]
BusOption = Annotated[BusName, typer.Option("--bus", help="What carries the events.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
