"""What was once said on the bus stays readable, and what is generated from the catalogue is up to date."""

import importlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.events import EVENT_TYPES, NEWEST_VERSIONS, Event, decode
from shared.events.compatibility import breaks, shape_of
from shared.events.generate import EXAMPLES, FROZEN, ROOT, generated, stale
from shared.events.schemas import file_name, schema_of
from tests.architecture.tree import SERVICES, lines, python_files

EVENTS = sorted(EVENT_TYPES.values(), key=file_name)
by_event = pytest.mark.parametrize("cls", EVENTS, ids=file_name)


def _load(folder: Path, cls: type[Event]) -> Any:
    return json.loads((ROOT / folder / file_name(cls)).read_text(encoding="utf-8"))


@by_event
def test_the_frozen_example_of_every_version_decodes_for_ever(cls: type[Event]) -> None:
    value = _load(EXAMPLES, cls)
    payload = b"" if value is None else json.dumps(value).encode()
    key = "019aa8f2-f23f-7ae5-9b9b-f3b2f981c5c4"
    event = decode(cls.type, cls.version, payload, key)
    assert event.type == cls.type
    assert event.version == NEWEST_VERSIONS[cls.type]


@by_event
def test_the_frozen_example_fits_the_generated_schema(cls: type[Event]) -> None:
    schema = schema_of(cls)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(_load(EXAMPLES, cls))


@by_event
def test_a_version_never_breaks_its_readers(cls: type[Event]) -> None:
    current = shape_of(schema_of(cls))
    frozen = _load(FROZEN, cls)
    assert breaks(frozen, current) == [], "give the event a new version with upcast() instead"
    assert frozen == current, "new optional fields are free: python -m shared.events.generate --freeze"


@by_event
def test_who_states_it_states_it_and_what_nobody_says_is_called_so(cls: type[Event]) -> None:
    for service in set(cls.stated_by) & set(SERVICES):
        assert (cls.__name__ in constructed_by(service)) == cls.stated_yet, (
            f"'Stated by: {service}.' says so; '(not yet)' behind it until then"
        )


@cache
def constructed_by(service: str) -> frozenset[str]:
    """The names of the classes of which a service makes instances, itself or by the library."""
    files = [path for path in python_files("services", "shared") if path.parts[:2] != ("shared", "events")]
    own = [path for path in files if path.parts[0] == "shared" or path.parts[1] == service]
    return frozenset(re.findall(r"\b([A-Z]\w+)\(", "\n".join(line for path in own for line in lines(path))))


@pytest.mark.parametrize("folder", [EXAMPLES, FROZEN], ids=str)
def test_no_version_that_was_ever_said_is_forgotten(folder: Path) -> None:
    known = {file_name(cls) for cls in EVENTS}
    assert {path.name for path in (ROOT / folder).iterdir()} == known


def test_generated_files_are_up_to_date() -> None:
    assert stale() == [], "run python -m shared.events.generate"


def test_a_stale_or_left_over_file_is_found(tmp_path: Path) -> None:
    (tmp_path / EXAMPLES).parent.mkdir(parents=True)
    (tmp_path / EXAMPLES).symlink_to(ROOT / EXAMPLES)
    files = generated(tmp_path)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert stale(tmp_path) == []
    page = tmp_path / "docs/events.md"
    page.write_text(page.read_text(encoding="utf-8") + "edited by hand", encoding="utf-8")
    left_over = tmp_path / "docs/events/schemas/order.forgotten.v1.json"
    left_over.write_text("{}", encoding="utf-8")
    assert stale(tmp_path) == [Path("docs/events.md"), Path("docs/events/schemas/order.forgotten.v1.json")]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_hears_what_the_catalogue_says_it_hears(service: str) -> None:
    handlers = importlib.import_module(f"services.{service}.handlers").handlers
    told = {cls.type for cls in EVENTS if service in cls.heard_by}
    assert told == set(handlers.by_type), "mend the docstring's `Heard by`, or the handler"
