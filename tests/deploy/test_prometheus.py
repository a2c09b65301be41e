"""Prometheus scrapes what runs, rules name metrics that exist, and each alert leads to a page that helps."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.architecture.tree import ROOT, SERVICES
from tests.deploy.promql import metrics_in, unknown_labels, unknown_metrics
from tests.deploy.surroundings import PORTS, anchors, load

RULE_FILES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
RULES: list[dict[str, Any]] = [
    rule
    for path in RULE_FILES
    for group in load(str(path.relative_to(ROOT)))["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = frozenset(rule["record"] for rule in RULES if "record" in rule)
RUNBOOK = ROOT / "docs/runbook.md"


def test_every_service_is_scraped_where_it_listens() -> None:
    scrapes: Any = load("deploy/prometheus/prometheus.yml")["scrape_configs"]
    (own,) = (each for each in scrapes if each["job_name"] == "regulars")
    found = {each["labels"]["service"]: each["targets"] for each in own["static_configs"]}
    assert found == {service: [f"{service}:{PORTS[service]}"] for service in SERVICES}
    # Our metrics have labels `job` and `service` of their own, and the rules count on them.
    assert own["honor_labels"] is True


def test_rules_name_metrics_and_labels_that_are_declared() -> None:
    for rule in RULES:
        name = rule.get("alert") or rule["record"]
        assert metrics_in(rule["expr"]), name
        assert not unknown_metrics(rule["expr"], RECORDED), name
        assert not unknown_labels(rule["expr"]), name


def test_what_is_unknown_would_be_noticed() -> None:
    assert unknown_metrics('rate(regulars_made_up_total{route=~"/v1"}[5m]) > 0') == {"regulars_made_up_total"}
    assert unknown_labels("sum by (shop) (regulars_ready)") == {"shop"}
    assert unknown_labels('regulars_bus_up{colour="red"}') == {"regulars_bus_up.colour"}


def test_alert_names_are_unique() -> None:
    assert len(ALERTS) == sum("alert" in rule for rule in RULES)


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_say_how_bad_it_is_and_what_to_read(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"].endswith(".")
    page, _, section = alert["annotations"]["runbook"].partition("#")
    assert ROOT / page == RUNBOOK
    assert section in anchors(RUNBOOK)


def test_every_section_of_the_runbook_says_three_things() -> None:
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    linked = {alert["annotations"]["runbook"].partition("#")[2] for alert in ALERTS.values()}
    for heading, text in sections.items():
        if heading.lower().replace(" ", "-") in linked:
            assert [word for word in ("Means", "Look at", "Do") if f"**{word}** " not in text] == [], heading
        else:
            assert heading == "Getting at it"


def test_links_within_the_runbook_lead_somewhere() -> None:
    found = re.findall(r"\]\(#([\w-]+)\)", RUNBOOK.read_text(encoding="utf-8"))
    assert found
    assert set(found) <= anchors(RUNBOOK)


def test_the_runbook_names_log_events_and_settings_that_exist() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "shared").rglob("*.py"))
    mentioned = re.findall(r"`((?:consumer|relay|job|loop|health)\.\w+|request_\w+)`", text)
    assert mentioned
    assert [event for event in mentioned if f'"{event}"' not in sources] == []
    for variable in re.findall(r"`REGULARS_(\w+)`", text):
        assert variable == "IMAGE" or f"    {variable.lower()}:" in sources, variable


def test_every_alert_has_a_case_in_the_rule_tests() -> None:
    cases = (ROOT / "deploy/prometheus/tests/alerts.yml").read_text(encoding="utf-8")
    assert set(re.findall(r'alertname="(\w+)"', cases)) == set(ALERTS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)")
def test_alerts_fire_when_everything_is_broken_and_only_then() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", str(ROOT / "deploy/prometheus/tests/alerts.yml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
