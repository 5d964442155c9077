"""The budget P = f(U, X, M) as stacked bars."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import plotly.graph_objects as go

from loadtest.budget import REFERENCE_MS, Budget, Part
from loadtest.report.figure import REST, M, U, X, as_html

_COLORS = {Part.U: U, Part.X: X, Part.M: M}
_ROW = 44


def parts_plot(budgets: Mapping[str, Budget]) -> str:
    """Shares of P, a bar for each ensemble, and one for the reference case."""
    figure = go.Figure()
    names = [*budgets, "reference case"]
    for part, color in _COLORS.items():
        ms = [*(budget.part_ms(part) for budget in budgets.values()), REFERENCE_MS[part]]
        whole = [*(b.client_ms for b in budgets.values()), sum(REFERENCE_MS.values())]
        _bar(figure, str(part), names, ms, whole, color)
    rest = [*(max(b.unexplained_ms, 0.0) for b in budgets.values()), 0.0]
    whole = [*(b.client_ms for b in budgets.values()), 1.0]
    _bar(figure, "unexplained", names, rest, whole, REST)
    figure.update_xaxes(title="% of P, the mean on the client's clock")
    return _stacked(figure, len(names))


def steps_plot(ensemble: str, budget: Budget) -> str:
    """Milliseconds, one bar: every step, in the colour of its part."""
    figure = go.Figure()
    pieces = [
        ("round trip", budget.round_trip_ms, U),
        ("queues and scheduling", budget.waiting_ms, U),
        *((s.name, s.busy_ms, _COLORS[p]) for p in Part for s in budget.steps_of(p)),
        ("unexplained", budget.unexplained_ms, REST),
    ]
    for name, ms, color in pieces:
        figure.add_bar(
            y=[escape(ensemble)],
            x=[max(ms, 0.0)],
            text=f"{escape(name)}<br>{ms:.2f}",
            orientation="h",
            marker={"color": color, "line": {"color": "rgba(255,255,255,0.7)", "width": 1}},
            hovertemplate=f"{escape(name)}: {ms:.3f} ms<extra></extra>",
        )
    figure.update_xaxes(title="ms per request, mean", rangemode="tozero")
    figure.update_layout(showlegend=False)
    return _stacked(figure, 1)


def _bar(
    figure: go.Figure, name: str, rows: list[str], ms: list[float], whole: list[float], color: str
) -> None:
    figure.add_bar(
        name=name,
        y=[escape(row) for row in rows],
        x=[100 * m / w for m, w in zip(ms, whole, strict=True)],
        text=[f"{name} {m:.3g} ms" if m else "" for m in ms],
        orientation="h",
        marker_color=color,
        hovertemplate=f"{name}: %{{text}}, %{{x:.1f}} %<extra>%{{y}}</extra>",
    )


def _stacked(figure: go.Figure, rows: int) -> str:
    figure.update_traces(textposition="inside", insidetextanchor="middle", textangle=0)
    figure.for_each_trace(_readable)
    figure.update_layout(
        barmode="stack",
        bargap=0.25,
        legend_traceorder="normal",
        uniformtext={"minsize": 10, "mode": "hide"},
    )
    figure.update_yaxes(autorange="reversed", type="category")
    return as_html(figure, 110 + _ROW * rows)


def _readable(bar: go.Bar) -> None:
    bar.textfont.color = "#20262c" if bar.marker.color == REST else "white"
