"""`regulars`: the command line."""

from cli.bytecode import write_bytecode

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    write_bytecode()
    # Imported after that, so that what is compiled here is kept too.
    from cli.commands import application

    application()()


if __name__ == "__main__":
    main()
