"""Compiled modules, kept where it is allowed.

With PYTHONDONTWRITEBYTECODE every process compiles some thousand modules anew, which is most of the time that
starting six processes takes. The variable asks not to litter source folders; a cache directory is none.
"""

import sys
from collections.abc import Mapping

from cli.cache import cache_dir

__all__ = ["with_bytecode", "write_bytecode"]


def _folder() -> str:
    return str(cache_dir() / "bytecode")


def write_bytecode() -> None:
    """Let this process keep what it compiles from now on."""
    if sys.dont_write_bytecode and sys.pycache_prefix is None:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = _folder()


def with_bytecode(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a child keeps what it compiles."""
    changed = dict(environment)
    if changed.pop("PYTHONDONTWRITEBYTECODE", ""):
        changed.setdefault("PYTHONPYCACHEPREFIX", _folder())
    return changed
