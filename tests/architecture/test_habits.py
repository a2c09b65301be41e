"""Habits that a machine can watch: sizes, waiting, loose ends, machine names and dead links."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.architecture.tree import ROOT, called_name, lines, python_files, report, syntax, tracked

MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 70

# Names that say where something was put and not what it is.
EMPTY_NAMES = frozenset({"utils", "util", "common", "helpers", "helper", "manager", "misc"})

# Spelled with classes of one letter, so that this file is not found by its own rules.
LOOSE_ENDS = re.compile(r"\b(T[O]DO|F[I]XME|H[A]CK|NotImplemented[E]rror)\b")
SILENCED_WITHOUT_REASON = re.compile(r"#\s*type: ignore(?!\[[\w, -]+\]\s+#\s*\S)|#\s*noqa(?!: ?[A-Z])")
PACKAGE_INDEX = re.compile(r"pypi[.]org|pythonhosted[.]org|(?<!emit-)index-url|[/@]pypi[.-]", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.~$}*-])/(work|root|Users)/|(?<![\w.~$}*-])/home/\w|\b[A-Z]:\\\\?Users\b")

# Lists of statements, as long as there are tables; they are read once and never changed again.
LONG_BY_NATURE = "migrations"


def test_files_stay_readable() -> None:
    findings = [
        f"{path}:{len(lines(path))}: {len(lines(path))} lines, {MAX_FILE_LINES} at most: make it a package"
        for path in python_files()
        if len(lines(path)) > MAX_FILE_LINES
    ]
    assert not findings, report(findings)


def test_functions_stay_about_a_screen() -> None:
    findings = [
        f"{path}:{node.lineno}: {node.name}() has {length} lines, {MAX_FUNCTION_LINES} at most"
        for path in python_files()
        if LONG_BY_NATURE not in path.parts
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not findings, report(findings)


def test_modules_have_names_that_explain() -> None:
    findings = [
        f"{path}:1: the name {part.removesuffix('.py')!r} explains nothing"
        for path in python_files()
        for part in path.parts
        if part.removesuffix(".py") in EMPTY_NAMES
    ]
    assert not findings, report(findings)


def test_tests_wait_for_conditions_and_never_for_time() -> None:
    findings = [
        f"{path}:{node.lineno}: wait for a condition with shared.testing.eventually(), never for a time"
        for path in python_files("tests")
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call) and called_name(node) == "sleep" and not _only_yields(node)
    ]
    assert not findings, report(findings)


def _only_yields(call: ast.Call) -> bool:
    """`asyncio.sleep(0)` waits for nothing; it lets the other tasks have a turn."""
    return [ast.unparse(argument) for argument in call.args] == ["0"]


def test_nothing_is_left_for_later() -> None:
    findings = [
        f"{path}:{number}: {found[0]}: finish it or open an issue"
        for path in tracked()
        for number, line in enumerate(lines(path), 1)
        if (found := LOOSE_ENDS.search(line))
    ]
    assert not findings, report(findings)


def test_nothing_is_silenced_without_a_code_and_a_reason() -> None:
    findings = [
        f"{path}:{number}: {line.strip()}: name the code, and for types say why in a second comment"
        for path in python_files()
        if path != Path(__file__).relative_to(ROOT)
        for number, line in enumerate(lines(path), 1)
        if SILENCED_WITHOUT_REASON.search(line)
    ]
    assert not findings, report(findings)


def test_the_tree_names_no_package_index_and_no_machine() -> None:
    findings = [
        f"{path}:{number}: {found[0]}: the tree must work on every machine and with every package index"
        for path in tracked()
        if path != Path(__file__).relative_to(ROOT)
        for number, line in enumerate(lines(path), 1)
        if (found := PACKAGE_INDEX.search(line) or MACHINE_PATH.search(line) or _configured_index(line))
    ]
    assert not findings, report(findings)


def _configured_index(line: str) -> tuple[str] | None:
    """The host of the index that this machine happens to use, if the line names it."""
    for variable in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        host = urlsplit(os.environ.get(variable, "")).hostname
        # A bare "localhost" or loopback address is every machine's name and gives nothing away.
        if host and host not in ("localhost", "127.0.0.1", "::1") and host in line:
            return (host,)
    return None


def test_every_link_between_documents_leads_somewhere() -> None:
    findings = [
        f"{path}:{number}: {target} does not exist"
        for path in tracked()
        if path.suffix == ".md"
        for number, target in _links(path)
        if not ((ROOT / path).parent / target).exists()
    ]
    assert not findings, report(findings)


def _links(path: Path) -> Iterator[tuple[int, str]]:
    """(line, path) of every link and picture to a file, not of links out or to headings of the page."""
    fenced = False
    for number, line in enumerate(lines(path), 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        if fenced:
            continue
        prose = re.sub(r"`[^`]*`", "", line)
        for target in re.findall(
            r"\]\(\s*<?([^)\s>]+)|^\s*\[[^\]]+\]:\s*(\S+)|(?:src|href)=\"([^\"]+)\"", prose
        ):
            link = unquote("".join(target)).partition("#")[0]
            if link and not urlsplit(link).scheme and not link.startswith("//"):
                yield number, link
