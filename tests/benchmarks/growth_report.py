"""Prints and plots how a cost grows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STEPS = ("features", "ranker", "policy")


@dataclass(frozen=True)
class Growth:
    """Microseconds of features, ranker and policy by size: float [3] each."""

    name: str
    points: dict[int, Any]

    @property
    def slopes(self) -> list[float]:
        """Exponents of a power law fitted to each step and to the sum: 0 constant, 1 linear."""
        size, cost = np.log(list(self.points)), np.array(list(self.points.values()))
        curves = np.log(np.c_[cost, cost.sum(axis=1)])
        return [float(np.polyfit(size, curve, 1)[0]) for curve in curves.T]

    @property
    def slope(self) -> float:
        """Of the sum."""
        return self.slopes[-1]


def print_growth(growth: Growth, rounds: int) -> None:
    """A table in microseconds, with the exponents below."""
    names = (*STEPS, "sum")
    print(f"\n{growth.name}: median us of {rounds} rounds")
    print(f"{'':>10}" + "".join(f"{name:>10}" for name in names))
    for size, cost in growth.points.items():
        print(f"{size:>10,}" + "".join(f"{c:>10.0f}" for c in (*cost, cost.sum())))
    print(f"{'slope':>10}" + "".join(f"{s:>10.2f}" for s in growth.slopes))


def write_plot(growths: list[Growth], file: Path) -> Path:
    """One self-contained page with a log-log plot for each; returns its path."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(
        len(growths), 1, subplot_titles=[g.name for g in growths], vertical_spacing=0.06
    )
    colors = dict(zip((*STEPS, "sum"), ("#3b7dd8", "#d9722e", "#7d8fa9", "#2a9d8f"), strict=True))
    for row, growth in enumerate(growths, 1):
        cost = np.array(list(growth.points.values()))
        curves = np.c_[cost, cost.sum(axis=1)].T
        for (name, color), curve in zip(colors.items(), curves, strict=True):
            line = go.Scatter(x=list(growth.points), y=curve, name=name, line_color=color)
            line.update(legendgroup=name, showlegend=row == 1)
            figure.add_trace(line, row, 1)
    figure.update_xaxes(type="log", dtick="D2")
    figure.update_yaxes(type="log", title="µs", dtick="D2")
    figure.update_layout(height=320 * len(growths), legend={"orientation": "h", "y": 1.06})
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(file, include_plotlyjs=True)
    return file.resolve()
