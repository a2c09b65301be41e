"""Every write of members and points is shown by an example that it would take, and several if it can."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.members.schemas import MemberPage
from services.members.schemas.examples import MEMBER_PAGE
from services.members.settings import MembersSettings
from services.points.settings import PointsSettings
from shared.settings import ServiceSettings
from tests.fixtures.services import service_named

SHOWN: dict[str, type[ServiceSettings]] = {"members": MembersSettings, "points": PointsSettings}


def document(service: str) -> dict[str, Any]:
    """The OpenAPI document of a service that is never started."""
    settings = SHOWN[service](database_url="postgresql://nobody@nowhere/nothing")
    found: dict[str, Any] = service_named(service).application(settings).openapi()
    return found


@pytest.mark.parametrize("service", SHOWN)
def test_every_write_has_examples_that_fit(service: str) -> None:
    openapi = document(service)
    resolved = {"components": openapi["components"]}
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None:
                continue
            validator = Draft202012Validator(content["schema"] | resolved)
            shown = {name: example["value"] for name, example in content.get("examples", {}).items()}
            assert shown or _shown(content["schema"], openapi), f"{method} {path} shows no example"
            for name, value in shown.items():
                assert list(validator.iter_errors(value)) == [], f"{method} {path}: {name}"
            if "several" in shown:
                first, second = shown["several"]
                assert first != second


def test_the_page_of_a_member_is_shown() -> None:
    schema = document("members")["components"]["schemas"]["MemberPage"]
    assert schema["example"]["standing"]["next_tier"] == MEMBER_PAGE["standing"]["next_tier"]
    assert MemberPage.model_validate(MEMBER_PAGE)


def _shown(schema: dict[str, Any], openapi: dict[str, Any]) -> bool:
    """Whether a schema has an example, itself or through what it is made of."""
    if "$ref" in schema:
        return _shown(openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]], openapi)
    if "example" in schema or "examples" in schema:
        return True
    return any(_shown(form, openapi) for form in (*schema.get("anyOf", ()), *schema.get("oneOf", ())))
