"""The operator's own attributes of members, and the JSON Schema that they keep to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012
from sqlalchemy.ext.asyncio import AsyncSession

from services.members.errors import AttributeSchemaInvalid, AttributesInvalid
from services.members.operations.patterns import PatternInvalid, Validator, check_patterns
from services.members.repository import profile as repository
from services.members.settings import settings

__all__ = ["AttributeSchema", "SchemaReplaced", "read_attribute_schema", "replace_attribute_schema"]

# Until the operator says what there is, there is nothing.
NOTHING = {"type": "object", "additionalProperties": False}
# Documents that are judged between two turns of the event loop.
CHECK_CHUNK = 500
MAX_REPORTED_ERRORS = 20
MAX_MESSAGE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class AttributeSchema:
    """One version of the schema, ready to judge documents by. Version 0 is what holds before the first."""

    version: int
    document: dict[str, Any]
    validator: Any

    @classmethod
    def of(cls, version: int, document: dict[str, Any]) -> "AttributeSchema":
        """Compile a schema. Formats are checked; references lead nowhere but into the schema itself."""
        # A reference to a schema that names its dialect would be judged by the dialect's own validator.
        plain = {name: part for name, part in document.items() if name != "$schema"}
        validator = Validator(plain, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
        return cls(version, document, validator)

    @classmethod
    async def current(cls, session: AsyncSession) -> "AttributeSchema":
        """Read the version that holds now."""
        stored = await repository.current_schema(session)
        return cls.of(*(stored or (0, NOTHING)))

    def refusal_of(self, attributes: dict[str, Any]) -> AttributesInvalid | None:
        """Say what is wrong with a member's attributes, if anything is."""
        size = len(msgspec.json.encode(attributes))
        if size > settings().attributes_bytes:
            return AttributesInvalid(f"They are {size} bytes as JSON, {settings().attributes_bytes} at most.")
        try:
            errors = [
                {
                    "pointer": "".join(f"/{part}" for part in error.absolute_path),
                    "message": error.message[:MAX_MESSAGE_CHARACTERS],
                }
                for error, _ in zip(
                    self.validator.iter_errors(attributes), range(MAX_REPORTED_ERRORS), strict=False
                )
            ]
        except RecursionError:
            errors = [{"pointer": "", "message": "the schema refers to itself without end"}]
        return AttributesInvalid(errors=errors, schema_version=self.version) if errors else None

    def accepts(self, attributes: dict[str, Any]) -> bool:
        """Say whether a member's attributes keep to the schema."""
        try:
            return bool(self.validator.is_valid(attributes))
        except RecursionError:
            return False


@dataclass(frozen=True, slots=True)
class SchemaReplaced:
    """A schema, and how many of the members whose attributes it was tried on would violate it.

    `is_complete` is false if there are more members than one answer looks at.
    """

    schema: AttributeSchema
    members_checked: int
    members_violating: int
    is_complete: bool


async def read_attribute_schema(session: AsyncSession) -> AttributeSchema:
    """Return the schema that holds now."""
    return await AttributeSchema.current(session)


async def replace_attribute_schema(
    session: AsyncSession, document: dict[str, Any], *, actor: str
) -> SchemaReplaced:
    """Make a new version of the schema, unless it is the same; raises AttributeSchemaInvalid.

    Attributes that violate it stay as they are, and are judged when somebody changes them.
    """
    _check(document)
    await repository.lock_schemas(session)
    current = await AttributeSchema.current(session)
    replaced = AttributeSchema.of(current.version + 1, document)
    if document == current.document and current.version:
        replaced = current
    else:
        await repository.insert_schema(session, replaced.version, document, actor)
    return await _tried(session, replaced)


def _check(document: dict[str, Any]) -> None:
    size = len(msgspec.json.encode(document))
    if size > settings().attribute_schema_bytes:
        raise AttributeSchemaInvalid(
            f"It is {size} bytes as JSON, {settings().attribute_schema_bytes} at most."
        )
    try:
        Draft202012Validator.check_schema(document)
        check_patterns(document)
        resolver = Registry().with_resource("", DRAFT202012.create_resource(document)).resolver()
        for reference in _references(document):
            resolver.lookup(reference)
        Draft202012Validator(document, registry=Registry()).is_valid({})
    except PatternInvalid as error:
        raise AttributeSchemaInvalid(str(error)) from error
    except SchemaError as error:
        where = "".join(f"/{part}" for part in error.absolute_path) or "/"
        raise AttributeSchemaInvalid(f"{where}: {error.message[:MAX_MESSAGE_CHARACTERS]}") from error
    except Unresolvable as error:
        raise AttributeSchemaInvalid(
            f"A reference leads out of the schema or nowhere: {error.ref}"
        ) from error
    except RecursionError as error:
        raise AttributeSchemaInvalid("It refers to itself without end.") from error


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, part in node.items():
            if name in ("$ref", "$dynamicRef") and isinstance(part, str):
                yield part
            yield from _references(part)
    elif isinstance(node, list):
        for part in node:
            yield from _references(part)


async def _tried(session: AsyncSession, schema: AttributeSchema) -> SchemaReplaced:
    """Count the members whose attributes a schema does not accept, up to the limit, in the order of ids."""
    checked = violating = 0
    limit = settings().attribute_check_members
    after = None
    while checked < limit:
        chunk = await repository.attribute_documents(
            session, after=after, limit=min(CHECK_CHUNK, limit - checked)
        )
        if not chunk:
            return SchemaReplaced(schema, checked, violating, is_complete=True)
        violating += sum(not schema.accepts(attributes) for _, attributes in chunk)
        checked += len(chunk)
        after = chunk[-1][0]
    is_complete = not await repository.attribute_documents(session, after=after, limit=1)
    return SchemaReplaced(schema, checked, violating, is_complete)
