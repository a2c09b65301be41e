"""The main job from start to finish, on part of its input."""

import json
import os
import subprocess
import sys

import pytest

from cli.demo.purchases import Purchases, dataset
from cli.embedded.kafka import unavailable_reason
from tests.architecture.tree import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ORDERS = 3000


@pytest.mark.parametrize("bus", ["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_the_demo_reconciles(bus: str) -> None:
    if bus == "kafka" and (reason := unavailable_reason()) is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Kafka cannot run here: {reason}")
        pytest.skip(f"Kafka cannot run here: {reason}")
    done = subprocess.run(
        [sys.executable, "-m", "cli", "demo", "--json", "--bus", bus, "--limit", str(ORDERS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    (line,) = done.stdout.splitlines()
    facts = json.loads(line)
    assert [check for check in facts["checks"] if not check["holds"]] == []
    assert done.returncode == 0, done.stderr
    purchases = Purchases(dataset(), limit=ORDERS)
    assert facts["reconciled"] is True
    assert facts["bus"] == bus
    assert facts["orders"] == ORDERS
    assert facts["members"] == purchases.members
    assert facts["revenue_minor"] == purchases.revenue_minor
    assert facts["points_earned"] == purchases.points_earned
    assert 0 < facts["points_expired"] < facts["points_earned"]
    assert facts["emails_delivered"] == facts["tier_upgrades"] > 0
    assert (facts["groups_formed"], facts["groups_failed"], facts["refunds_requested"]) == (4, 2, 2)
    assert facts["refunds"] > ORDERS // 100
    assert facts["points_clawed_back"] > 0
    assert facts["loyalty"] == {"redemptions": 4, "draws": 3, "merged": 1}
    assert "points expired later" in {check["name"] for check in facts["checks"]}
    assert facts["dead_letters"] == 0
    assert facts["seconds"] > 0
