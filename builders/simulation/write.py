"""Writes what came of a simulation."""

from __future__ import annotations

import json
from pathlib import Path

from builders.simulation.plot import plot
from builders.simulation.result import Result
from builders.simulation.table import markdown
from serving.durable import replace_file

JSON, SVG, MARKDOWN = "simulation.json", "simulation.svg", "simulation.md"


def write_result(found: Result, out: Path) -> None:
    """Figures as JSON, a plot as SVG, tables as Markdown, into ``out``."""
    replace_file(out / JSON, (json.dumps(found.to_json(), indent=1) + "\n").encode())
    replace_file(out / SVG, plot(found).encode())
    replace_file(out / MARKDOWN, markdown(found).encode())
