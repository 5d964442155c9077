"""Table, Markdown, plot and JSON of figures by hand."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from builders.simulation.measures import MEASURES, Estimate
from builders.simulation.plan import Plan
from builders.simulation.result import Result, Round
from builders.simulation.table import markdown, rendered
from builders.simulation.write import write_result

PUBLISHED: dict[str, Any] = {"published": 2}
REFUSED: dict[str, Any] = {"published": None}


def a_round(value: float, retrained: dict[str, Any] | None, *, base: bool) -> Round:
    figures = dict.fromkeys(MEASURES, Estimate(value, value - 0.01, value + 0.02))
    difference = {} if base else dict.fromkeys(MEASURES, Estimate(-0.1, -0.2, 0.05))
    return Round(1, retrained, figures, difference)


@pytest.fixture
def found() -> Result:
    rounds = {
        "off": [a_round(0.5, PUBLISHED, base=True), a_round(0.25, None, base=True)],
        "on": [a_round(0.125, REFUSED, base=False), a_round(0.375, None, base=False)],
        "frozen": [a_round(0.625, None, base=False), a_round(0.75, None, base=False)],
    }
    return Result("tiny", Plan(rounds=2), 30, 40, rounds)


def test_the_terminals_table_says_what_became_of_each_round(found: Result) -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(rendered(found))
    text = console.export_text()
    rows = [line.split() for line in text.splitlines() if line[:6].strip().isdecimal()]
    assert rows[-6][:4] == ["0", "off", "1", "0.500"]
    assert rows[-6][-2:] == ["release", "2"]
    assert rows[-5][:4] == ["0", "on", "1", "0.125"]
    assert [row[-1] for row in rows[-5:]] == ["kept", "-", "-", "-", "-"]
    assert "…" not in text


def test_markdown_has_intervals_and_differences(found: Result) -> None:
    lines = markdown(found).splitlines()
    assert "| 0 | exploration off | 1 | 0.500 (0.490 to 0.520) |" in lines[2]
    assert lines[2].endswith("| 50.0 % (49.0 to 52.0) | release 2 |")
    assert "| 1 | -0.100 (-0.200 to +0.050) |" in lines[-1]
    alone = Result("tiny", Plan(rounds=2, explore=0.0), 30, 40, {"off": found.rounds["off"]})
    assert "minus" not in markdown(alone)


def test_the_files_are_whole(found: Result, tmp_path: Path) -> None:
    write_result(found, tmp_path)
    raw = json.loads((tmp_path / "simulation.json").read_text())
    assert raw["plan"]["seed"] == 1
    assert raw["rounds"]["on"][1]["figures"]["gini"] == {
        "value": 0.375,
        "low": 0.365,
        "high": 0.395,
    }
    svg = ElementTree.parse(tmp_path / "simulation.svg").getroot()
    tags = [re.sub(r"\{.*\}", "", element.tag) for element in svg.iter()]
    assert (tags.count("polygon"), tags.count("polyline"), tags.count("circle")) == (12, 12, 24)
    texts = [element.text for element in svg.iter() if element.text and element.text.strip()]
    arms = {"exploration off", "exploration on", "never retrained"}
    assert arms | {"NDCG@10", "coverage", "round 1"} <= set(texts)
