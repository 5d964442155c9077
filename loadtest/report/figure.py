"""How a plot of the report looks, by day and by night, on a phone and on a wide screen."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import plotly.io
import plotly.offline

P50, P95, P99 = "#2a9d8f", "#d98e04", "#d1495b"
U, X, M, REST = "#5b6f8f", "#3b7dd8", "#d9722e", "#b4bbc3"
NOW, OTHERS = "#3b7dd8", ("#d98e04", "#8e5bbf")
TEXT, _GRID = "#808890", "rgba(128,136,144,0.25)"  # Readable on white and on black.


def plotly_script() -> str:
    """The source of plotly.js, for one script element."""
    source: str = plotly.offline.get_plotlyjs()
    return source


def as_html(figure: go.Figure, height: int) -> str:
    """A fragment that needs the script of the page, of ``height`` pixels."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 24, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": TEXT, "size": 12},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        dragmode=False,  # A finger scrolls the page.
    )
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, automargin=True, title_standoff=6)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, automargin=True, title_standoff=6)
    config: dict[str, Any] = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    html: str = plotly.io.to_html(figure, include_plotlyjs=False, full_html=False, config=config)
    return html


def log_axis(title: str) -> dict[str, Any]:
    """Settings of an axis of ms, of which a reader wants to read more than powers of ten."""
    ticks = [n * 10.0**p for p in range(-2, 6) for n in (1, 2, 5)]
    return {
        "title": title,
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" for tick in ticks],
    }
