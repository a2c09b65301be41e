"""One module per command; each says what it does, reads its options and calls what does the work."""

import typer

from cli.commands import demo, import_orders, up

__all__ = ["application"]


def application() -> typer.Typer:
    """The command line with every command."""
    app = typer.Typer(
        name="regulars",
        help="Regulars: an event-driven CRM. Start with `regulars up` or `regulars demo`.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.command("up")(up.up)
    app.command("demo")(demo.demo)
    imports = typer.Typer(help="Bring in what other systems know.", no_args_is_help=True)
    imports.command("orders")(import_orders.import_orders_command)
    app.add_typer(imports, name="import")
    return app
