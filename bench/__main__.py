"""`python -m bench [--only NAME] [--json]`: measure figures on loopback, most in under a minute each.

`--list` says what each one is, and which are long.
"""

import argparse
import asyncio
import importlib
import pkgutil
import sys

import uvloop
from rich.console import Console
from rich.table import Table

import bench.figures
from bench.figure import FIGURES, Figure

__all__ = ["main", "measure"]


def figure_names() -> list[str]:
    """Load every module of figures and return the names they registered, in order."""
    for module in pkgutil.iter_modules(bench.figures.__path__):
        importlib.import_module(f"bench.figures.{module.name}")
    return sorted(FIGURES)


async def measure(name: str) -> Figure:
    """Measure one figure within its time limit."""
    measurement = FIGURES[name]
    async with asyncio.timeout(measurement.limit_seconds):
        return await measurement.measure()


def _row(found: Figure) -> tuple[str, ...]:
    details = ", ".join(f"{name} {value:,.4g}" for name, value in found.details.items())
    return (
        found.name,
        f"{found.value:,.1f} {found.unit}",
        f"{found.floor:,.1f} {found.unit}",
        found.floor_name,
        f"{found.ratio:.2f}",
        details,
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 0, or 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="regulars bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="measure this figure only; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("--list", action="store_true", help="list the figures")
    options = parser.parse_args(arguments)
    names = figure_names()
    if options.list:
        print("\n".join(f"{name}: {FIGURES[name].meaning}" for name in names))
        return 0
    unknown = sorted(set(options.only or []) - set(names))
    if unknown:
        print(f"no such figure: {', '.join(unknown)}; there are: {', '.join(names)}", file=sys.stderr)
        return 2
    table = Table("figure", "value", "floor", "what the floor is", "ratio", "beside it")
    console = Console()
    for name in options.only or names:
        with Console(stderr=True).status(f"measuring {name}"):
            found = uvloop.run(measure(name))
        if options.json:
            print(found.as_json(), flush=True)
        table.add_row(*_row(found))
    if not options.json:
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
