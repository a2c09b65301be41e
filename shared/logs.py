"""Logs: one JSON object a line on standard output, static event names, ids, and nothing personal.

    log = structlog.get_logger("regulars.points")
    log.info("points_expired", member_id=member_id, points=points)

Whatever comes through the standard library (uvicorn, aiokafka, alembic) takes the same way.
"""

import logging
import logging.config
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from shared import tracing

__all__ = ["bind", "configure", "mask"]

MASKED = "***"
MAX_VALUE_CHARACTERS = 2000

# A key is personal or secret if one of its words is; `key` alone is a bus key and an id.
_SENSITIVE_WORDS = frozenset(
    {
        "address",
        "addresses",
        "email",
        "mail",
        "phone",
        "mobile",
        "birthday",
        "birthdate",
        "password",
        "passwd",
        "secret",
        "secrets",
        "token",
        "tokens",
        "authorization",
        "cookie",
        "cookies",
        "credential",
        "credentials",
        "dsn",
        "body",
        "payload",
        "recipient",
        "recipients",
        "ip",
        "signature",
    }
)
_SENSITIVE_KEYS = frozenset(
    {
        "name",
        "display_name",
        "first_name",
        "last_name",
        "full_name",
        "customer_name",
        "dev_key",
        "api_key",
        "x_api_key",
        "signing_key",
        "signing_keys",
        "headers",
        "contact",
        "contact_point",
        "contact_points",
        "street",
        "city",
        "postcode",
        "zip",
        "database_url",
        "bus_database_url",
        "url_with_password",
        "parameters",
        "params",
        "detail_text",
    }
)
# What only measures or identifies a sensitive thing is not sensitive: body_bytes, token_id.
_MEASURES = frozenset({"bytes", "count", "seconds", "total", "id", "ids"})
_EMAIL = re.compile(r"[\w.+'%-]+@[\w-]+(?:\.[\w-]+)*")
_API_KEY = re.compile(r"\brk_[a-z0-9]{4,32}_[\w-]+|\beyJ[\w-]+\.[\w-]+\.[\w-]+")
_URL_PASSWORD = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@")
_PHONE = re.compile(r"(?<![\w-])\+\d[\d ().-]{6,18}\d(?![\w-])")
# The database quotes offending values in these parts of its messages.
_DATABASE_VALUES = re.compile(r"(DETAIL:|\[parameters:|\[SQL:|Failing row contains|Key \().*", re.DOTALL)


def mask(value: Any) -> Any:
    """`value` without what looks like an address, a phone number, a key or a password in text."""
    if isinstance(value, str):
        value = _URL_PASSWORD.sub(f"{MASKED}@", value)
        value = _API_KEY.sub(MASKED, value)
        if "@" in value:
            value = _EMAIL.sub(MASKED, value)
        value = _PHONE.sub(MASKED, value)
        return value if len(value) <= MAX_VALUE_CHARACTERS else f"{value[:MAX_VALUE_CHARACTERS]}…"
    if isinstance(value, dict):
        return {key: MASKED if _is_sensitive(str(key)) else mask(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask(inner) for inner in value]
    return value


def _is_sensitive(key: str) -> bool:
    key = key.lower().replace("-", "_")
    words = key.split("_")
    if words[-1] in _MEASURES:
        return False
    return key in _SENSITIVE_KEYS or not _SENSITIVE_WORDS.isdisjoint(words)


def _masked(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if key not in ("exc_info", "_record", "_from_structlog"):
            event[key] = MASKED if value is not None and _is_sensitive(key) else mask(value)
    return event


def _with_ids(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if (trace := tracing.trace_id()) is not None:
        event.setdefault("trace_id", trace)
    if (request := tracing.request_id()) is not None:
        event.setdefault("request_id", request)
    return event


def _rendered_exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Turns `exc_info` into type, masked message and frames; no local variables and no values."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    elif isinstance(found, BaseException):
        found = (type(found), found, found.__traceback__)
    if not found or found[1] is None:
        return event
    error: BaseException = found[1]
    event["exception"] = [_described(cause) for cause in _chain(error)]
    event["frames"] = _frames(found[2])
    return event


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {mask(_DATABASE_VALUES.sub(MASKED, str(error)))}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    for _ in range(5):
        if current is None:
            return
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-30:]]


@contextmanager
def bind(**ids: str | None) -> Iterator[None]:
    """Adds ids (event_id, job, group, …) to every log event of a piece of work."""
    with structlog.contextvars.bound_contextvars(**{k: v for k, v in ids.items() if v is not None}):
        yield


def _processors(service: str) -> list[Processor]:
    def named(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_ids,
        _masked,
        named,
        _rendered_exception,
    ]


def configure(
    service: str, *, level: str = "info", access_log: bool = False, stream: TextIO | None = None
) -> None:
    """Routes structlog and the standard library to `stream` (standard output) as JSON lines.

    Call it once per process; uvicorn must be started with `log_config=None`.
    """
    processors = _processors(service)
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=processors,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    logging.getLogger("uvicorn.access").setLevel("INFO" if access_log else "WARNING")
    # They tell every request, with its whole address.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel("WARNING")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *processors,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Loggers are module-level and made before this runs; the cache would keep what they were made with.
        cache_logger_on_first_use=True,
    )
