"""The plots of the report, as HTML fragments."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from builders.compress.report.plots import as_html
from builders.outcomes.outcomes import Outcomes
from builders.outcomes.rate import Rate

_COLORS = ("#3b7dd8", "#d98e04", "#2a9d8f", "#d1495b", "#8e5bbf", "#5b6f8f")
_TICKS = 20


def release_plot(found: Outcomes) -> str:
    """Click rate of each release."""
    figure = go.Figure()
    names = [f"release {of.release}" for of in found.releases]
    _add(figure, "click rate", names, [of.clicked for of in found.releases], _COLORS[0], "markers")
    figure.update_xaxes(type="category")
    return _shown(figure)


def position_plot(found: Outcomes) -> str:
    """Click rate by position, a line for each release."""
    figure = go.Figure()
    for number, of in enumerate(found.releases):
        mine = [at for at in found.positions if at.release == of.release]
        places, rates = [at.position for at in mine], [at.clicked for at in mine]
        color = _COLORS[number % len(_COLORS)]
        _add(figure, f"release {of.release}", places, rates, color, "lines+markers")
    last = max(at.position for at in found.positions)
    figure.update_xaxes(title="position in the answer", range=(0.5, last + 0.5))
    figure.update_xaxes(tick0=1, dtick=1 + last // _TICKS)
    return _shown(figure)


def _add(
    figure: go.Figure,
    name: str,
    x: Sequence[object],
    rates: Sequence[Rate],
    color: str,
    mode: str,
) -> None:
    figure.add_scatter(
        name=name,
        x=x,
        y=[rate.value for rate in rates],
        error_y={
            "array": [rate.high - rate.value for rate in rates],
            "arrayminus": [rate.value - rate.low for rate in rates],
            "thickness": 1,
        },
        mode=mode,
        cliponaxis=False,  # points at zero stay whole
        marker={"color": color, "size": 8},
        line={"color": color, "width": 1.5},
    )


def _shown(figure: go.Figure) -> str:
    figure.update_xaxes(ticks="outside", ticklen=6, tickcolor="rgba(0,0,0,0)")
    figure.update_yaxes(title="clicks of impressions", tickformat=".1%", rangemode="tozero")
    return as_html(figure, 360)
