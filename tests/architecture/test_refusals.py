"""Every refusal of a service has a code that its README lists, and OpenAPI too if a route can say it."""

import importlib
import inspect
import json
import re

import pytest

from shared.problems import Refusal
from tests.architecture.tree import ROOT, SERVICES

# Said of events and not of requests: they stand beside the dead letters, or the entry of a benefit.
OF_EVENTS = {
    "points": {
        "expiry_out_of_range",
        "refund_currency_mismatch",
        "shipping_not_covered",
        "too_many_points",
        "unknown_order_currency",
        # The shapes of all routes have bounds, so only other callers of the operations meet it.
        "invalid_points",
    },
    "analytics": {"impossible_amount", "impossible_time", "unknown_currency"},
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_refusal_is_in_the_readme_and_in_openapi(service: str) -> None:
    errors = importlib.import_module(f"services.{service}.errors")
    codes = {
        refusal.code
        for _, refusal in inspect.getmembers(errors, inspect.isclass)
        if issubclass(refusal, Refusal) and refusal.__module__ == errors.__name__
    }
    readme = (ROOT / "services" / service / "README.md").read_text()
    assert not [code for code in sorted(codes) if f"`{code}`" not in readme]
    openapi = json.dumps(importlib.import_module(f"services.{service}.app").service.application().openapi())
    unsaid = {code for code in codes if not re.search(rf"\b{code}\b", openapi)}
    assert unsaid == OF_EVENTS.get(service, set())
