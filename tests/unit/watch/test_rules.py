"""The shipped Prometheus rules: checked by promtool, one objective, and every alert explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ensembles.recommend import chains
from loadtest.objective import Objective
from serving.ports import Ports

DOCKER = Path(__file__).resolve().parents[3] / "docker"
PROMETHEUS = DOCKER / "prometheus"
OBJECTIVE = DOCKER.parent / "loadtest" / "objectives" / "default.toml"
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool: apt-get install prometheus"
)


def rules(file: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*words: str) -> None:
    found = subprocess.run(
        ["promtool", *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


@needs_promtool
def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    promtool("check", "config", "prometheus.yml")


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", "tests.yml")


def test_the_objective_is_that_of_the_load_tests() -> None:
    objective = Objective.read(OBJECTIVE)
    constants = {
        rule["record"].rpartition(":")[2]: float(rule["expr"].removeprefix("vector(").rstrip(")"))
        for rule in rules("recording.yml")
        if rule["record"].startswith("millirank:objective:")
    }
    assert objective.p99_ms
    assert constants["p99_seconds"] == objective.p99_ms / 1000
    assert constants["minimum_count"] == objective.minimum_count
    # No error at all leaves no budget: here is a share of its own, in one place, too.
    assert objective.error_share == 0
    texts = "".join(file.read_text() for file in PROMETHEUS.glob("*.yml"))
    assert texts.count("vector(0.001)") == 1


def test_every_alert_says_what_is_seen_and_what_to_do_and_is_tested() -> None:
    tested = (PROMETHEUS / "tests.yml").read_text()
    for rule in rules("alerts.yml"):
        assert rule["annotations"].keys() == {"summary", "description", "action"}
        assert all(rule["annotations"].values())
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["alert"] in tested


def test_recorded_names_that_are_used_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules("recording.yml")}
    files = [*PROMETHEUS.glob("*.yml"), DOCKER / "grafana" / "dashboards" / "millirank.json"]
    used = {name for f in files for name in re.findall(r"millirank:\w+:\w+", f.read_text())}
    assert used == recorded


def test_every_ensemble_is_counted_and_the_port_is_the_servers() -> None:
    ensembles = "|".join(p.name for p in reversed(chains(lookup=False, visual=True)))
    failures = [r["expr"] for r in rules("recording.yml") if "request_failure" in r["expr"]]
    assert failures
    assert all(f'model=~"{ensembles}"' in expr for expr in failures)
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    (server,) = (job for job in jobs if job["job_name"] == "millirank")
    assert server["dns_sd_configs"][0]["port"] == Ports().metrics
