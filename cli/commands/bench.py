"""`regulars bench`: every figure beside its floor."""

import typer

__all__ = ["register"]

HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def bench(context: typer.Context) -> None:
    """Measure, each figure beside its floor; `--only NAME`, `--json` and `--list` are handed on."""
    from bench.__main__ import main

    raise typer.Exit(main(context.args))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench", context_settings=HANDED_ON)(bench)
