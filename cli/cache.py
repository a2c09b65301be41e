"""Where the command line keeps what can be fetched or made again."""

import os
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """A directory of ours under REGULARS_CACHE, or else under the user's cache directory."""
    base = os.environ.get("REGULARS_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "regulars"
