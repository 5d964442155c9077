"""Plots of one run: over time, how latencies are spread, what throughput costs."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from loadtest.capacity import Step
from loadtest.record import RunRecord
from loadtest.report.figure import NOW, OTHERS, P50, P95, P99, TEXT, as_html, log_axis
from loadtest.report.series import Series, phase_starts
from loadtest.scenario import Scenario

_CURVES = {"p50": P50, "p95": P95, "p99": P99}


def over_time(found: Series, scenario: Scenario) -> str:
    """Percentiles above, requests/s and errors/s below; phases begin at the dotted lines."""
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.06)
    for name, color in _CURVES.items():
        line = {"color": color, "width": 2}
        curve = {"x": found.middle_s, "y": getattr(found, name), "line": line, "name": name}
        figure.add_scatter(**curve, mode="lines+markers", marker={"size": 4}, row=1, col=1)
    rates = {"answered/s": (found.answered, NOW), "errors/s": (found.failed, P99)}
    for name, (rate, color) in rates.items():
        line = {"color": color, "width": 2, "shape": "hvh"}
        figure.add_scatter(x=found.middle_s, y=rate, name=name, line=line, row=2, col=1)
    phases = phase_starts(scenario)
    for start, asks in phases:
        figure.add_vline(start, line={"color": TEXT, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=start,
            y=1,
            yref="y2 domain",
            text=asks,
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            xshift=3,
        )
    figure.update_yaxes(**log_axis("ms"), row=1, col=1)
    figure.update_yaxes(title="per second", rangemode="tozero", row=2, col=1)
    figure.update_xaxes(title="seconds since the first measured moment", row=2, col=1)
    figure.update_layout(hovermode="x unified")
    return as_html(figure, 520)


def histogram(run: RunRecord) -> str:
    """Share of answers by latency, on a logarithmic axis, with the percentiles marked."""
    latency = np.log10(np.maximum(run.latency_ms, 1e-3))
    edges = np.linspace(latency.min() - 0.01, latency.max() + 0.01, 81)
    share = np.histogram(latency, edges)[0] / latency.size * 100
    figure = go.Figure(
        go.Bar(
            x=10 ** ((edges[:-1] + edges[1:]) / 2),
            y=share,
            width=np.diff(10**edges),
            marker={"color": NOW, "line": {"width": 0}},
            hovertemplate="%{x:.2f} ms: %{y:.2f} %<extra></extra>",
        )
    )
    found = run.latency
    for level, (name, ms) in enumerate(
        {"p50": found.p50_ms, "p95": found.p95_ms, "p99": found.p99_ms}.items()
    ):
        figure.add_vline(ms, line={"color": _CURVES[name], "width": 2, "dash": "dot"})
        figure.add_annotation(
            x=np.log10(ms),
            y=1 - 0.09 * level,
            yref="y domain",
            text=f"{name} {ms:.2f} ms",
            showarrow=False,
            xanchor="left",
            xshift=4,
            font={"color": _CURVES[name]},
        )
    figure.update_xaxes(**log_axis("latency in ms (log scale)"))
    figure.update_yaxes(title="% of answers")
    return as_html(figure, 320)


def distributions(runs: Sequence[tuple[str, RunRecord]]) -> str:
    """Latency by percentile, one curve a run, this one first; the tail is drawn out."""
    figure = go.Figure()
    fewest = min(len(run.latency_ms) for _, run in runs)
    beyond = np.geomspace(1, 10 / max(fewest, 20), 200)  # share of requests that take longer
    for (name, run), color in zip(runs, (NOW, *OTHERS), strict=False):
        latency = np.percentile(run.latency_ms, 100 * (1 - beyond))
        line = {"color": color, "width": 2}
        figure.add_scatter(x=1 / beyond, y=latency, name=escape(name), mode="lines", line=line)
    ticks = {1: "0 %", 2: "50 %", 10: "90 %", 20: "95 %", 100: "99 %", 1000: "99.9 %"}
    figure.update_xaxes(
        type="log",
        title="share of requests that are faster",
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
    )
    figure.update_yaxes(**log_axis("latency in ms (log scale)"))
    return as_html(figure, 360)


def throughput(found: Series, curve: Sequence[Step]) -> str:
    """Latency against answered requests/s, a point for each bin; a capacity curve as lines."""
    figure = go.Figure()
    for name in ("p50", "p95"):
        marker = {"color": _CURVES[name], "size": 7, "opacity": 0.6}
        points = {"x": found.answered, "y": getattr(found, name), "marker": marker}
        figure.add_scatter(**points, mode="markers", name=f"{name}, this run")
    for name, color in _CURVES.items() if curve else ():
        figure.add_scatter(
            x=[point.offered for point in curve],
            y=[getattr(point, f"{name}_ms") for point in curve],
            name=f"{name}, capacity",
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"size": 9, "symbol": ["circle" if p.met else "x" for p in curve]},
            hovertext=["objective met" if p.met else "objective missed" for p in curve],
        )
    figure.update_xaxes(title="answered requests/s", rangemode="tozero")
    figure.update_yaxes(**log_axis("latency in ms (log scale)"))
    return as_html(figure, 360)
