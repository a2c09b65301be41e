"""One variable of the environment, or the file that it names."""

import os
from pathlib import Path

__all__ = ["variable"]


def variable(name: str) -> str | None:
    """The value of `name`, else the content of the file that `<name>_FILE` names, else None.

    Container platforms mount secrets as files. Raises OSError for a file that cannot be read.
    """
    if name in os.environ:
        return os.environ[name]
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return None
