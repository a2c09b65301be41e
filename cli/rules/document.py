"""A rule set in a file: JSON, or YAML where PyYAML is installed."""

import json
from pathlib import Path
from typing import Any

__all__ = ["MAX_DOCUMENT_BYTES", "Unreadable", "read_document"]

# A rule set that a person wrote has some kilobytes.
MAX_DOCUMENT_BYTES = 1_000_000


class Unreadable(ValueError):
    """The file holds no rule set; the message says why."""


def read_document(file: Path) -> dict[str, Any]:
    """Return {"name", "terms"} as the file says it, or with the terms alone; raises `Unreadable`."""
    try:
        with file.open("rb") as opened:
            written = opened.read(MAX_DOCUMENT_BYTES + 1)
        if len(written) > MAX_DOCUMENT_BYTES:
            raise Unreadable(f"{file} is larger than {MAX_DOCUMENT_BYTES:,} bytes")
        text = written.decode("utf-8-sig")
        document = _yaml(text, file) if file.suffix in (".yaml", ".yml") else json.loads(text)
    except OSError as error:
        raise Unreadable(f"{file} cannot be read: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"{file} is not JSON in UTF-8: {error}") from error
    if not isinstance(document, dict):
        raise Unreadable(f"{file} holds no object")
    return document if "terms" in document else {"terms": document}


def _yaml(text: str, file: Path) -> Any:
    try:
        import yaml
    except ImportError as missing:
        raise Unreadable(f"{file} is YAML, which needs the package PyYAML; JSON needs nothing") from missing

    class Loader(yaml.SafeLoader):
        """YAML as JSON has it: dates and fractions stay text as rules want them, and `on` is a word."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name for it
            first: [
                (tag, pattern)
                for tag, pattern in resolvers
                if tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
                or (tag == "tag:yaml.org,2002:bool" and first in "tTfF")
            ]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        return yaml.load(text, Loader)  # noqa: S506 - a loader that is safe, and reads less
    except (yaml.YAMLError, ValueError) as error:
        raise Unreadable(f"{file} is not YAML: {error}") from error
