"""The Grafana dashboard and its provisioning fit together."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

GRAFANA = Path(__file__).resolve().parents[3] / "docker" / "grafana"
PANELS: list[dict[str, Any]] = json.loads((GRAFANA / "dashboards/millirank.json").read_text())[
    "panels"
]


def test_panels_have_ids_of_their_own_and_say_what_they_show() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {
        (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    }


def test_panels_stand_side_by_side_on_the_grid() -> None:
    for one, other in combinations(PANELS, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
    assert max(x for panel in PANELS for x, _ in cells(panel)) < 24


def test_the_datasource_is_the_provisioned_one() -> None:
    file = GRAFANA / "provisioning" / "datasources" / "prometheus.yml"
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    for panel in PANELS:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}


@pytest.mark.parametrize("part", ["U", "X", "M"])
def test_the_budget_is_stacked_of_its_parts(part: str) -> None:
    stacked = [p for p in PANELS if "P = U + X + M" in p["title"]]
    assert len(stacked) == 2
    for panel in stacked:
        assert 'part!="P"' in panel["targets"][0]["expr"]
        assert panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
