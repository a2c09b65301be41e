"""What deployments are checked against: the services' own settings, read from the environment they get."""

import importlib
import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import PREFIX, ServiceSettings
from tests.architecture.tree import ROOT, SERVICES

__all__ = ["PORTS", "anchors", "field_of", "load", "settings_class", "settings_from"]


def load(path: str) -> dict[str, Any]:
    """One YAML document of this tree."""
    document = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def settings_class(service: str) -> type[ServiceSettings]:
    """The settings class that a service declares."""
    module = importlib.import_module(f"services.{service}.settings")
    (found,) = (
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, ServiceSettings) and each is not ServiceSettings
    )
    return found


PORTS: dict[str, int] = {name: settings_class(name).model_fields["port"].default for name in SERVICES}


def field_of(variable: str, service: str | None = None) -> str | None:
    """The setting that a variable sets, for one service or for any of them; None if there is none."""
    name = variable.removeprefix(PREFIX).removesuffix("_FILE").lower()
    if not variable.startswith(PREFIX):
        return None
    for each in SERVICES if service is None else (service,):
        fields = settings_class(each).model_fields
        own = name.removeprefix(f"{each}_")
        if own != name and own in fields:
            return own
    in_any = name in ServiceSettings.model_fields
    return name if in_any or (service and name in settings_class(service).model_fields) else None


def settings_from(
    service: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> ServiceSettings:
    """The settings of a service with exactly this environment. Raises if it would refuse to start."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings_class(service)()


def anchors(path: Path) -> set[str]:
    """The headings of a Markdown page as the fragments that lead to them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
