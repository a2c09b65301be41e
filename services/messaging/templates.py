"""Liquid templates within limits: compiled once, strict about what they print, escaped in HTML.

A template may ask about anything (`{% if event.from_tier %}`), but printing a value that is missing is
answered by the policy of that variable: its default, skip the message, or fail it, which is also the answer
for variables without a policy. A misspelt name is found when the template is published.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from liquid import BoundTemplate, Environment, StrictUndefined
from liquid.exceptions import FilterArgumentError, LiquidError, ResourceLimitError, UndefinedError

from shared.clock import zone

__all__ = [
    "BadTemplate",
    "Content",
    "Rendered",
    "RenderingFailed",
    "RenderingSkipped",
    "content_hash",
    "publishable",
    "render",
]

# Limits of one rendering: iterations over all loops, bytes of variables a template makes, bytes it prints.
LOOP_ITERATIONS: Final = 10_000
NAMESPACE_BYTES: Final = 262_144
OUTPUT_BYTES: Final = 524_288
NESTING: Final = 16
# Filters run outside the limits above, so what goes into one, and what could come out, is bounded too.
FILTER_ITEMS: Final = 10_000
FILTER_CHARACTERS: Final = 200_000
MAX_SUBJECT_CHARACTERS: Final = 400
COMPILED_TEMPLATES: Final = 256

MEMBER_VARIABLES: Final = ("id", "display_name", "locale", "country", "time_zone", "tier", "tags")
SHOP_VARIABLES: Final = ("name",)
_ROOTS: Final = ("event", "member", "shop", "unsubscribe_url")


class BadTemplate(Exception):
    """The template cannot be published; `errors` holds (part, message) pairs."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{part}: {message}" for part, message in errors))
        self.errors = errors


class RenderingFailed(Exception):
    """The content cannot be made for this member; `reason` is a code, the message says more."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RenderingSkipped(RenderingFailed):
    """A variable is missing whose policy is to skip the message."""


class _Missing(StrictUndefined):
    """A value that is not there: false, equal to nothing, replaced by `default`, but never printed."""

    __slots__ = ()
    allowed_properties = StrictUndefined.allowed_properties | {
        "__liquid__",
        "__class__",
        "poke",
        "force_liquid_default",
    }
    force_liquid_default = True

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, _Missing)

    def __hash__(self) -> int:
        return 0

    def __liquid__(self) -> object:
        return None

    def poke(self) -> bool:
        return True


class _Environment(Environment):
    block_nesting_limit = NESTING
    context_depth_limit = NESTING
    loop_iteration_limit = LOOP_ITERATIONS
    local_namespace_limit = NAMESPACE_BYTES
    output_stream_limit = OUTPUT_BYTES


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse to run a filter on, or into, more than a message could hold."""

    @functools.wraps(function)
    def bounded(*args: Any, **keywords: Any) -> Any:
        characters = 1
        for value in args:
            if isinstance(value, str):
                if len(value) > FILTER_CHARACTERS:
                    raise ResourceLimitError(f"{name}: text too long", token=None)
                if name.startswith(("replace", "join")):
                    characters *= max(1, len(value))
            elif isinstance(value, range | list | tuple):
                if len(value) > FILTER_ITEMS:
                    raise ResourceLimitError(f"{name}: list too long", token=None)
                characters *= max(1, len(value)) if name == "join" else 1
            elif isinstance(value, int) and abs(value) > FILTER_CHARACTERS * 10**12:
                raise ResourceLimitError(f"{name}: number too large", token=None)
        if characters > FILTER_CHARACTERS * 100:
            raise ResourceLimitError(f"{name}: result too long", token=None)
        return function(*args, **keywords)

    return bounded


def _in_zone(value: Any, zone_name: Any) -> datetime:
    """The instant as clocks in an IANA time zone show it, for the filter `date` to write."""
    try:
        return datetime.fromisoformat(value).astimezone(zone(zone_name))
    except (AttributeError, TypeError, ValueError) as error:
        raise FilterArgumentError(f"in_zone: {value!r} in {zone_name!r}: {error}", token=None) from error


def _environment(*, autoescape: bool) -> Environment:
    environment = _Environment(undefined=_Missing, autoescape=autoescape)
    # There are no partial templates yet, and nothing a template prints may escape being escaped.
    for tag in ("include", "render"):
        del environment.tags[tag]
    del environment.filters["safe"]
    environment.filters["in_zone"] = _in_zone
    environment.filters = {name: _bounded(name, f) for name, f in environment.filters.items()}
    return environment


_TEXT: Final = _environment(autoescape=False)
_HTML: Final = _environment(autoescape=True)


@dataclass(frozen=True, slots=True)
class Content:
    """What a template version says, as its author wrote it.

    `variables` maps a path such as `member.display_name` to {"default": text} or {"missing": "skip"|"fail"}.
    """

    subject: str
    text: str
    html: str | None
    variables: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one member gets."""

    subject: str
    text: str
    html: str | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    subject: BoundTemplate
    text: BoundTemplate
    html: BoundTemplate | None
    variables: Mapping[str, Mapping[str, Any]]


def content_hash(content: Content) -> bytes:
    """SHA-256 of the content in one canonical spelling: the same content is the same version."""
    parts = [content.subject, content.text, content.html, content.variables]
    return hashlib.sha256(
        json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    ).digest()


def _parse(environment: Environment, source: str) -> BoundTemplate:
    try:
        return environment.from_string(source)
    except RecursionError as error:
        raise LiquidError("expressions are nested too deeply", token=None) from error


_cache: dict[bytes, _Compiled] = {}


def _compile(content: Content, digest: bytes) -> _Compiled:
    found = _cache.get(digest)
    if found is None:
        html = None if content.html is None else _parse(_HTML, content.html)
        found = _Compiled(
            _parse(_TEXT, content.subject), _parse(_TEXT, content.text), html, content.variables
        )
        if len(_cache) >= COMPILED_TEMPLATES:
            _cache.clear()
        _cache[digest] = found
    return found


def publishable(content: Content) -> None:
    """Check a template without rendering it: syntax, filters, and the names it asks for.

    Raises BadTemplate with every problem found, one per part.
    """
    errors: list[tuple[str, str]] = []
    for part, environment, source in (
        ("subject", _TEXT, content.subject),
        ("text", _TEXT, content.text),
        ("html", _HTML, content.html),
    ):
        if source is None:
            continue
        try:
            template = _parse(environment, source)
            known = template.analyze()
        except LiquidError as error:
            errors.append((part, _first_line(error)))
            continue
        errors += [(part, f"unknown variable {name}") for name in _unknown(known.globals, content.variables)]
        unknown_filters = sorted(name for name in known.filters if name not in environment.filters)
        errors += [(part, f"unknown filter {name}") for name in unknown_filters]
    if errors:
        raise BadTemplate(errors)


def _unknown(variables: Mapping[str, Sequence[Any]], declared: Mapping[str, Any]) -> list[str]:
    """Names that no message can ever have a value for, as far as that can be told."""
    unknown = []
    for root, uses in variables.items():
        if root in declared:
            continue
        if root not in _ROOTS:
            unknown.append(root)
            continue
        closed = {"member": MEMBER_VARIABLES, "shop": SHOP_VARIABLES}.get(root)
        for use in uses if closed else ():
            second = use.segments[1] if len(use.segments) > 1 else None
            if closed and isinstance(second, str) and second not in closed and str(use) not in declared:
                unknown.append(str(use))
    return sorted(set(unknown))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def render(content: Content, digest: bytes, values: Mapping[str, Any]) -> Rendered:
    """Fill in a template; `digest` is its `content_hash`, under which it stays compiled.

    Raises RenderingSkipped if a variable with the policy `skip` is missing, and RenderingFailed if any other
    is, or if a limit is reached.
    """
    compiled = _compile(content, digest)
    filled = _with_policies(values, compiled.variables)
    try:
        subject = " ".join(compiled.subject.render(**filled).split())
        text = compiled.text.render(**filled)
        html = None if compiled.html is None else compiled.html.render(**filled)
    except UndefinedError as error:
        raise RenderingFailed("variable_missing", _first_line(error)) from error
    except ResourceLimitError as error:
        raise RenderingFailed("template_limit", _first_line(error)) from error
    # Filters meet whatever values there are, and answer some of them with errors of Python's own.
    except (LiquidError, ArithmeticError, TypeError, ValueError, RecursionError) as error:
        raise RenderingFailed("template_error", _first_line(error)) from error
    return Rendered(subject[:MAX_SUBJECT_CHARACTERS], text, html)


def _with_policies(values: Mapping[str, Any], policies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`values` without nulls, so that they count as missing, and with the policies of variables applied."""
    filled = {
        root: {name: inner for name, inner in value.items() if inner is not None}
        if isinstance(value, dict)
        else value
        for root, value in values.items()
        if value is not None
    }
    for path, policy in policies.items():
        root, _, name = path.partition(".")
        scope = filled.setdefault(root, {}) if name else filled
        if not isinstance(scope, dict) or scope.get(name or root) not in (None, ""):
            continue
        if "default" in policy:
            scope[name or root] = policy["default"]
        elif policy.get("missing") == "skip":
            raise RenderingSkipped("variable_missing", path)
        else:
            raise RenderingFailed("variable_missing", path)
    return filled
