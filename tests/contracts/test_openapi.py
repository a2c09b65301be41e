"""Every service does what its OpenAPI document says, whatever it is sent.

schemathesis reads the document and makes requests of it: the examples, the limits of every field and just
beyond them, and chance. The application answers in this process with its lifespan run, on a database made by
its migrations.
"""

import copy
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.python.asgi import shutdown_lifespans
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.database import Database
from shared.settings import DEVELOPMENT_KEY
from tests.fixtures.services import SERVICES, service_named

# What the document promises of an answer.
CONFORMANCE = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# What the document promises of the door: bad requests are turned away, and so are callers without a key.
REFUSAL = ("negative_data_rejection", "ignored_auth", "unsupported_method", "missing_required_header")

EXAMPLES = 10


def configuration(batch_paths: list[str], *, limits_of_batches: bool) -> SchemathesisConfig:
    """The same cases on every run, and few enough of them for every day.

    A batch is answered with 200 and says of every item whether it was taken: it is not refused as a whole.
    """
    batches: dict[str, Any] = {
        "checks": {"negative_data_rejection": {"enabled": False}},
        "phases": {"coverage": {"enabled": limits_of_batches}},
    }
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Authorization": f"Bearer {DEVELOPMENT_KEY}"},
            "generation": {"deterministic": True, "max-examples": EXAMPLES, "no-shrink": True},
            "phases": {"stateful": {"enabled": False}},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in (*CONFORMANCE, *REFUSAL)}},
            "operations": [{"include-path": path, **batches} for path in batch_paths],
        }
    )


def json_bodies(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The path and the description of every JSON body."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                yield path, body


def alternatives(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What a body may be, if it may be an item as well as an array of items."""
    schemas: list[dict[str, Any]] = body["schema"].get("oneOf") or body["schema"].get("anyOf") or []
    return schemas if any(schema.get("type") == "array" for schema in schemas) else []


def single_items(document: dict[str, Any], batch_paths: list[str]) -> dict[str, Any]:
    """The document's batch routes alone, as if each took one item only.

    To try the limits of every field inside an array as well would double the time for the same validator.
    """
    single = copy.deepcopy(document)
    single["paths"] = {path: single["paths"][path] for path in batch_paths}
    for _, body in json_bodies(single):
        body["schema"] = next(
            (schema for schema in alternatives(body) if schema.get("type") != "array"), body["schema"]
        )
    return single


def from_this_machine(app: ASGIApp) -> ASGIApp:
    """The application as a caller on the same host meets it; only such a one may use the development key."""

    async def local(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": ("127.0.0.1", 50000)}, receive, send)

    return local


@contextmanager
def schemas_of(name: str, database: Database) -> Iterator[list[Any]]:
    """The schemas to test a service by, bound to the service itself: as it is, and batches of one item."""
    module = importlib.import_module(f"services.{name}.settings")
    settings = getattr(module, f"{name.capitalize()}Settings")(database_url=database.url, role="api")
    application = service_named(name).application(settings)
    app = from_this_machine(application)
    document = application.openapi()
    batch_paths = [
        path
        for path, body in json_bodies(document)
        if alternatives(body) or body["schema"].get("type") == "array"
    ]
    schemas = [
        schemathesis.openapi.from_dict(parts, config=configuration(batch_paths, limits_of_batches=limits))
        for parts, limits in ((document, False), (single_items(document, batch_paths), True))
    ]
    for schema in schemas:
        schema.app = app
    try:
        yield schemas if batch_paths else schemas[:1]
    finally:
        shutdown_lifespans()


def failures_of(schema: Any) -> tuple[dict[str, str], int]:
    """Run everything; the failures by check and operation, and the number of requests that were made."""
    failures: dict[str, str] = {}
    requests = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            raise AssertionError(f"schemathesis met an error: {event}")
        if not isinstance(event, events.ScenarioFinished):
            continue
        requests += len(event.recorder.interactions)
        for case_id, checks in event.recorder.checks.items():
            for check in checks:
                if check.status is Status.FAILURE:
                    failures.setdefault(
                        f"{check.name} {event.recorder.label}", _report(check, event, case_id)
                    )
    return failures, requests


def _report(check: Any, event: Any, case_id: str) -> str:
    interaction = event.recorder.interactions.get(case_id)
    answer = interaction.response.content[:600] if interaction and interaction.response else b""
    return f"{check.failure_info.failure}\n{check.failure_info.code_sample}\n{answer!r}"


@pytest.mark.slow
# Thousands of requests: half a minute alone, many times that on a machine that has more to do.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SERVICES)
def test_service_does_what_its_document_says(name: str, request: pytest.FixtureRequest) -> None:
    failures: dict[str, str] = {}
    requests = 0
    with schemas_of(name, request.getfixturevalue(f"{name}_database")) as schemas:
        for schema in schemas:
            found, made = failures_of(schema)
            failures |= found
            requests += made
    report = "\n\n".join(f"== {what}\n{how}" for what, how in sorted(failures.items()))
    assert not failures, f"{len(failures)} kinds of failure in {requests} requests:\n{report}"
    # A schema that was not understood would pass by asking nothing.
    assert requests > 100
