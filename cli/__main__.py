"""`regulars`: the command line."""

import sys

from cli.bytecode import write_bytecode

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    write_bytecode()
    # Imported after that, so that what is compiled here is kept too.
    from cli.commands import NotInstalled, application
    from cli.platform import NothingStarted

    try:
        application(sys.argv[1:])()
    except (NothingStarted, NotInstalled) as reason:
        sys.exit(f"regulars: {reason}")


if __name__ == "__main__":
    main()
