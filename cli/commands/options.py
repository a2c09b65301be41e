"""Options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "BusName",
    "BusOption",
    "HomeOption",
    "JsonOption",
    "MembersUrlOption",
    "PointsUrlOption",
    "key_option",
]


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


def _url_of(service: str) -> Any:
    return typer.Option("--url", help=f"Address of {service}; of the platform under the home if left out.")


MembersUrlOption = Annotated[str | None, _url_of("members")]
PointsUrlOption = Annotated[str | None, _url_of("points")]


def key_option(scopes: str) -> Any:
    """Return the option for an API key, which says that the key needs these scopes."""
    return typer.Option("--key", help=f"API key with {scopes}.", envvar="REGULARS_KEY", show_default=False)


BusOption = Annotated[BusName, typer.Option("--bus", help="What carries the events.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]
