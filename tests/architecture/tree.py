"""The tracked files of this checkout, and what the rules of the tests beside read from them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("members", "points", "campaigns", "messaging", "analytics")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks or would add, relative to the root: what is ignored is nobody's to read."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = sorted({Path(name) for name in listing.split("\0") if name})
    return tuple(path for path in paths if (ROOT / path).is_file())


def python_files(*folders: str) -> Iterator[Path]:
    """The tracked Python files under these top-level folders, or all of them."""
    for path in tracked():
        if path.suffix == ".py" and (not folders or path.parts[0] in folders):
            yield path


def lines(path: Path) -> list[str]:
    """The lines of a text file; none if it is not text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []


@cache
def syntax(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def called_name(call: ast.Call) -> str:
    """The last word of what is called: `commit` in `session.commit()`."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def report(findings: list[str]) -> str:
    """One finding a line, each beginning with path:line so that an editor can jump there."""
    return "\n" + "\n".join(findings)
