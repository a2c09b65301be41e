"""Which metrics and labels a PromQL expression names, and which ones the code declares."""

import ast
import re
from functools import cache

from prometheus_client import REGISTRY

from tests.architecture.tree import called_name, lines, python_files, syntax

__all__ = ["TARGET_LABELS", "declared_metrics", "metrics_in", "unknown_labels", "unknown_metrics"]

# Set by Prometheus: where a sample comes from, and the bound of a histogram's bucket.
TARGET_LABELS = frozenset({"service", "instance", "job", "le"})
# Series that Prometheus makes itself, with their labels.
BUILT_IN = {"up": frozenset[str](), "ALERTS": frozenset({"alertname", "alertstate", "severity"})}

KEYWORDS = frozenset({"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"})
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
NAME = re.compile(r"(?<![\w$])[a-zA-Z_:][\w:]*(?!\w|\s*\()")


@cache
def declared_metrics() -> dict[str, frozenset[str]]:
    """Every series that a process of ours can show, with its labels; histograms with their three suffixes."""
    found = dict(BUILT_IN)
    for path in python_files("shared", "services"):
        # Most files declare none, and reading them as Python would take seconds.
        if not any('"regulars_' in line for line in lines(path)):
            continue
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.Call) and called_name(node) in ("counter", "gauge", "histogram"):
                found |= _declaration(node)
    # The client library's own figures of the process and the interpreter.
    for family in REGISTRY.collect():
        for sample in family.samples:
            found[sample.name] = frozenset(sample.labels)
    return found


def _declaration(call: ast.Call) -> dict[str, frozenset[str]]:
    if not call.args or not isinstance(call.args[0], ast.Constant):
        return {}
    name = str(call.args[0].value)
    given = [keyword.value for keyword in call.keywords if keyword.arg == "labels"] + call.args[2:3]
    labels = frozenset(ast.literal_eval(given[0])) if given else frozenset()
    suffixes = ("_bucket", "_sum", "_count") if called_name(call) == "histogram" else ("",)
    return {f"{name}{suffix}": labels for suffix in suffixes}


def metrics_in(expression: str) -> set[str]:
    """The names of the series that an expression selects."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    return set(NAME.findall(GROUPING.sub(" ", bare))) - KEYWORDS


def unknown_metrics(expression: str, recorded: frozenset[str] = frozenset()) -> set[str]:
    """Series that nobody declares and no recording rule makes."""
    return metrics_in(expression) - set(declared_metrics()) - recorded


def unknown_labels(expression: str) -> set[str]:
    """Labels that none of the metrics has which the expression selects by, or groups, them."""
    wrong = set()
    for name, matchers in SELECTOR.findall(expression):
        allowed = declared_metrics().get(name, frozenset()) | TARGET_LABELS
        wrong |= {f"{name}.{label}" for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)} - {
            f"{name}.{label}" for label in allowed
        }
    known = frozenset().union(*(declared_metrics().get(each, frozenset()) for each in metrics_in(expression)))
    for labels in GROUPING.findall(expression):
        wrong |= {label.strip() for label in labels.split(",") if label.strip()} - known - TARGET_LABELS
    return wrong
