"""Five services, one shape: the same files, the same words in their READMEs, the same things never done."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

from shared.events import EVENT_TYPES
from shared.settings import ServiceSettings
from tests.architecture.tree import ROOT, SERVICES, called_name, lines, python_files, report, syntax

# Files that are always files.
FILES = ("README.md", "__init__.py", "__main__.py", "app.py", "settings.py")
# Modules; any of them may be a package of the same name once it has grown past about 400 lines.
MODULES = ("api", "schemas", "handlers", "jobs", "operations", "domain", "repository", "models", "errors")
# What only some services need. A name that is not here needs a reason here first.
EXTRAS = {
    "channels": "messaging: one module per way to reach a person",
    "pages": "campaigns, analytics: pages for people, beside the API for programs",
    "templates": "the HTML of these pages, and messaging's content",
}
README_HEADINGS = ("Owns", "Hears", "Says", "Endpoints", "Settings", "Metrics", "When it breaks")

# Doing something with the world, or asking it what time it is, is what a rule does not.
IMPURE = frozenset(
    {"asyncio", "logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time"}
)

EVENT_CLASSES = {cls.__name__: type_ for (type_, _version), cls in EVENT_TYPES.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_files_that_all_have(service: str) -> None:
    folder = ROOT / "services" / service
    missing = [name for name in FILES if not (folder / name).is_file()]
    missing += [
        f"{name}.py"
        for name in MODULES
        if not (folder / f"{name}.py").is_file() and not (folder / name / "__init__.py").is_file()
    ]
    if not (folder / "migrations").is_dir():
        missing.append("migrations/")
    assert not missing, f"services/{service}: missing {', '.join(missing)}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_no_files_of_its_own_kind(service: str) -> None:
    known = {*FILES, "migrations", *MODULES, *(f"{name}.py" for name in MODULES)}
    known |= {*EXTRAS, *(f"{name}.py" for name in EXTRAS)}
    folder = ROOT / "services" / service
    strangers = sorted(
        path.name for path in folder.glob("*") if path.name not in known | {"__pycache__", "py.typed"}
    )
    assert not strangers, f"services/{service}: {', '.join(strangers)}; known names are in {__file__}"


def test_only_the_edge_commits() -> None:
    findings = [
        f"{path}:{node.lineno}: {called_name(node)}() belongs to the edge (route, consumer, job runner)"
        for path in python_files("services")
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call) and called_name(node) in ("commit", "rollback")
    ]
    assert not findings, report(findings)


def test_domain_imports_only_what_is_pure() -> None:
    findings = [
        f"{path}:{line}: domain imports {module}; it may import the standard library, shared.money,"
        " shared.conditions and shared.clock"
        for path in python_files("services")
        if Path(*path.parts[2:3]).stem == "domain"
        for line, module in _imports(path)
        if not _is_pure(module, ".".join([*path.parts[:2], "domain"]))
    ]
    assert not findings, report(findings)


def _is_pure(module: str, own: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return top not in IMPURE
    if module in ("shared.money", "shared.conditions", "shared.clock"):
        return True
    return module == own or module.startswith(f"{own}.")


def _imports(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import; `from shared import money` imports shared.money."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(path, node)
            names = (
                [f"{base}.{alias.name}" for alias in node.names] if base in ("shared", "services") else [base]
            )
            found += [(node.lineno, name) for name in names]
    return found


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = path.with_suffix("").parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


@pytest.mark.parametrize("service", SERVICES)
def test_the_readme_has_the_sections_that_all_have(service: str) -> None:
    readme = Path("services", service, "README.md")
    assert (ROOT / readme).is_file(), f"{readme}: missing"
    missing = [heading for heading in README_HEADINGS if _section(readme, heading) is None]
    assert not missing, f"{readme}:1: sections missing: " + ", ".join(f"## {heading}" for heading in missing)


@pytest.mark.parametrize("service", SERVICES)
def test_the_readme_names_every_event_that_the_service_says(service: str) -> None:
    _assert_named(service, "Says", _said(service))


@pytest.mark.parametrize("service", SERVICES)
def test_the_readme_names_every_event_that_the_service_hears(service: str) -> None:
    _assert_named(service, "Hears", _heard(service))


@pytest.mark.parametrize("service", SERVICES)
def test_the_readme_names_every_setting_of_the_service(service: str) -> None:
    readme = Path("services", service, "README.md")
    section = _section(readme, "Settings") or ""
    fields = importlib.import_module(f"services.{service}.settings").settings().__class__.model_fields
    own = [name for name in fields if name not in ServiceSettings.model_fields]
    # `REGULARS_POINTS_ZONE` in full, or `ZONE` or `_ZONE` after the prefix was said once.
    missing = [
        name
        for name in own
        if not re.search(rf"`(REGULARS_{service.upper()}_|_)?{name.upper()}(\(_FILE\))?`", section)
    ]
    assert not missing, f"{readme}: ## Settings does not name {', '.join(name.upper() for name in missing)}"


def _assert_named(service: str, heading: str, places: dict[str, str]) -> None:
    readme = Path("services", service, "README.md")
    assert (ROOT / readme).is_file(), f"{readme}: missing"
    section = _section(readme, heading)
    assert section is not None, f"{readme}:1: section missing: ## {heading}"
    findings = [
        f"{place}: {name} is not in {readme} under ## {heading}; write `{EVENT_CLASSES[name]}` there"
        for name, place in places.items()
        if not re.search(rf"(?<![\w.]){re.escape(EVENT_CLASSES[name])}(?![\w.]*\w)|\b{name}\b", section)
    ]
    assert not findings, report(findings)


def _section(readme: Path, heading: str) -> str | None:
    """The text from a `##` heading of that name to the next one, or None if there is no such heading."""
    inside: list[str] | None = None
    for line in lines(readme):
        title = re.fullmatch(r"#+\s+(.*?)\s*", line)
        if title and inside is not None:
            break
        if title and title[1].lower() == heading.lower():
            inside = []
        elif inside is not None:
            inside.append(line)
    return None if inside is None else "\n".join(inside)


def _said(service: str) -> dict[str, str]:
    """Event class -> where the service first makes one. A service makes an event only to say it."""
    return {
        called_name(node): f"{path}:{node.lineno}"
        for path in reversed(_modules(service))
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Call)
        and called_name(node) in EVENT_CLASSES
        # A refusal may be called like an event.
        and called_name(node) not in _refusals(path)
    }


def _refusals(path: Path) -> set[str]:
    """The names that a module has from the errors of its service."""
    return {
        alias.name
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.ImportFrom) and _absolute(path, node).endswith(".errors")
        for alias in node.names
    }


def _heard(service: str) -> dict[str, str]:
    """Event class -> where the service registers a handler with `@handlers.on(OrderPaid)`."""
    places: dict[str, str] = {}
    for path in _modules(service):
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.Call) and called_name(node) == "on":
                for argument in node.args:
                    name = ast.unparse(argument).rpartition(".")[2]
                    if name in EVENT_CLASSES:
                        places.setdefault(name, f"{path}:{node.lineno}")
    return places


def _modules(service: str) -> list[Path]:
    return [path for path in python_files("services") if path.parts[1] == service]
