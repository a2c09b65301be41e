"""Dashboards are found by Grafana, keep their addresses, and ask for metrics that exist."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.tree import ROOT
from tests.deploy.promql import metrics_in, unknown_labels, unknown_metrics
from tests.deploy.surroundings import load

FOLDER = ROOT / "deploy/grafana/dashboards"
PATHS = sorted(FOLDER.glob("*.json"))
GRID_COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def board(path: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parsed


def panels(path: Path) -> Iterator[dict[str, Any]]:
    """Every panel that shows something; rows are only headings."""
    for panel in board(path)["panels"]:
        if panel["type"] != "row":
            yield panel


def test_addresses_are_fixed_and_unique() -> None:
    assert {path.stem: board(path)["uid"] for path in PATHS} == {
        "bus-and-outbox": "regulars-bus",
        "overview": "regulars-overview",
        "service": "regulars-service",
    }
    assert all("id" not in board(path) for path in PATHS)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_panels_ask_for_metrics_and_labels_that_are_declared(path: Path) -> None:
    for panel in panels(path):
        for target in panel["targets"]:
            assert metrics_in(target["expr"]), panel["title"]
            assert not unknown_metrics(target["expr"]), panel["title"]
            assert not unknown_labels(target["expr"]), panel["title"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_panels_explain_themselves_and_take_the_chosen_data_source(path: Path) -> None:
    variables = {each["name"]: each for each in board(path)["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for panel in panels(path):
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == DATASOURCE, panel["title"]
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_panels_have_their_place(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    placed = board(path)["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    for panel in placed:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_COLUMNS, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"], panel["title"]


def test_the_service_board_is_about_the_chosen_service() -> None:
    variables = {each["name"]: each for each in board(FOLDER / "service.json")["templating"]["list"]}
    assert variables["service"]["definition"] == "label_values(regulars_build_info, service)"
    for panel in panels(FOLDER / "service.json"):
        for target in panel["targets"]:
            selectors = target["expr"].count("regulars_")
            assert target["expr"].count('service="$service"') == selectors, panel["title"]


def test_grafana_finds_the_boards_and_the_data() -> None:
    compose: Any = load("docker-compose.yml")["services"]
    mounts = dict(mount.split(":")[:2] for mount in compose["grafana"]["volumes"])
    (provider,) = load("deploy/grafana/provisioning/dashboards/regulars.yml")["providers"]
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (FOLDER / Path(home).name).exists()
    (source,) = load("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["uid"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
