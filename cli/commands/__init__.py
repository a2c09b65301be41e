"""One module per command; each says what it does, reads its options and calls what does the work."""

import importlib
from collections.abc import Sequence

import typer

__all__ = ["application"]

MODULES = {
    "up": "up",
    "demo": "demo",
    "import": "import_orders",
    "keys": "keys",
    "dead-letters": "dead_letters",
    "doctor": "doctor",
    "member": "member",
    "verify": "verify",
    "merge": "merges",
    "unmerge": "merges",
    "erase": "erase",
    "migrate": "operations",
    "topics": "operations",
    "replay": "operations",
    "bench": "operations",
}
"""Which module knows which command."""


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command line for these arguments.

    Only the module of the command that is asked for is loaded: what the others import takes longer than
    `up` has until it should be serving.
    """
    app = typer.Typer(
        name="regulars",
        help="Regulars: an event-driven CRM. Start with `regulars up` or `regulars demo`.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    # With a callback the first word stays the command's name even while only one command is registered.
    app.callback()(_nothing)
    asked = MODULES.get(arguments[0]) if arguments else None
    for module in [asked] if asked else dict.fromkeys(MODULES.values()):
        importlib.import_module(f"cli.commands.{module}").register(app)
    return app


def _nothing() -> None:
    """Regulars: an event-driven CRM. Start with `regulars up` or `regulars demo`."""
