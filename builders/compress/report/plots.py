"""The plots of the report, as HTML fragments that share one copy of plotly.js."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Protocol

import plotly.graph_objects as go
import plotly.io
import plotly.offline

from builders.compress.report.rows import UNCOMPRESSED
from builders.compress.result import ChainResult, Figures, PassResult

_KEPT, _REFUSED, _TRIAL, _FRONT = "#2a9d5c", "#d1495b", "#9aa5b1", "#3b7dd8"
_TEXT, _GRID = "#808890", "rgba(128,136,144,0.25)"  # Readable on white and on black.
_TICKS = tuple(n * 10**p for p in range(-3, 5) for n in (1, 1.5, 2, 3, 5, 7))
_BAR_PIXELS = 18


class Tried(Protocol):
    """A model that a search tried."""

    @property
    def name(self) -> str:
        """Of the trial."""
        ...

    @property
    def figures(self) -> Figures:
        """As the chain measured them."""
        ...

    def describe(self) -> str:
        """Its passes in one line."""
        ...


def plotly_script() -> str:
    """The source of plotly.js, for one script element."""
    source: str = plotly.offline.get_plotlyjs()
    return source


def pareto_plot(result: ChainResult, front: Sequence[Tried]) -> str:
    """Latency against quality: every pass, kept or refused, and what a search tried."""
    figure = go.Figure()
    if front:
        _add_trials(figure, front)
    measured = [(p, p.figures) for p in result.passes if p.figures is not None]
    kept = [(p.name, f) for p, f in measured if p.kept]
    chain = [(UNCOMPRESSED, result.base), *kept]
    _add(figure, "kept", chain, mode="lines+markers+text", color=_KEPT)
    refused = [(p.name, f) for p, f in measured if not p.kept]
    if refused:
        _add(figure, "left out", refused, mode="markers+text", color=_REFUSED, symbol="x")
    figure.update_xaxes(
        title="ms at batch 1 (median, log scale)",
        type="log",
        tickvals=_TICKS,
        ticktext=[f"{tick:g}" for tick in _TICKS],
    )
    figure.update_yaxes(title="NDCG@10 on validation", tickformat=".4f")
    return as_html(figure, 460)


def layer_plot(p: PassResult) -> str:
    """The figures of a pass by layer, in the order of the layers."""
    names, values = list(p.layers), list(p.layers.values())
    figure = go.Figure(
        go.Bar(y=[escape(n) for n in names], x=values, orientation="h", marker_color=_FRONT)
    )
    figure.update_xaxes(title=escape(p.layers_title), title_standoff=6)
    figure.update_yaxes(autorange="reversed", type="category", automargin=True, dtick=1)
    return as_html(figure, 110 + _BAR_PIXELS * len(names))


def _add_trials(figure: go.Figure, front: Sequence[Tried]) -> None:
    figure.add_scatter(
        name="trials of the search",
        x=[c.figures.single_ms for c in front],
        y=[c.figures.ndcg10 for c in front],
        hovertext=[escape(f"{c.name}: {c.describe()}") for c in front],
        mode="markers",
        marker={"color": _TRIAL, "size": 8},
    )
    ahead: list[Tried] = []
    for c in sorted(front, key=lambda c: (c.figures.single_ms, -c.figures.ndcg10)):
        if not ahead or c.figures.ndcg10 > ahead[-1].figures.ndcg10:
            ahead.append(c)
    figure.add_scatter(
        name="Pareto front",
        x=[c.figures.single_ms for c in ahead],
        y=[c.figures.ndcg10 for c in ahead],
        mode="lines",
        line={"color": _FRONT, "dash": "dot", "shape": "hv"},
        hoverinfo="skip",
    )


def _add(
    figure: go.Figure,
    name: str,
    points: Sequence[tuple[str, Figures]],
    *,
    mode: str,
    color: str,
    symbol: str = "circle",
) -> None:
    figure.add_scatter(
        name=name,
        x=[f.single_ms for _, f in points],
        y=[f.ndcg10 for _, f in points],
        text=[escape(label) for label, _ in points],
        cliponaxis=False,  # Labels at the edge of a narrow screen stay whole.
        mode=mode,
        textposition="top center",
        textfont={"color": color, "size": 11},
        marker={"color": color, "size": 11, "symbol": symbol},
        line={"color": color, "width": 1.5},
    )


def as_html(figure: go.Figure, height: int) -> str:
    """A fragment that needs the script of the page, of ``height`` pixels."""
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _TEXT, "size": 12},
        legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
        modebar={"remove": ["select", "lasso", "zoomIn", "zoomOut", "autoScale"]},
    )
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, automargin=True)
    config: dict[str, Any] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    html: str = plotly.io.to_html(figure, include_plotlyjs=False, full_html=False, config=config)
    return html
