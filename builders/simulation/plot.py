"""Four panels as SVG, drawn here: a picture for a README needs no library and no browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from builders.simulation.measures import MEASURES, Estimate
from builders.simulation.plan import FROZEN, OFF, ON, TITLES
from builders.simulation.result import Result

_PANELS = ("ndcg10", "clicks_per_request", "coverage", "gini")
_COLORS = {OFF: "#3b7dd8", ON: "#d98e04", FROZEN: "#808890"}
_TEXT, _GRID = "#808890", "#80889040"  # Readable on white and on black.
_WIDTH, _HEIGHT = 430, 250
"""Of a panel, in pixels."""
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 34, 14, 30
_TICKS = 4
Place = Callable[[int, float], str]
"""Coordinates of a value in a round."""


def plot(found: Result) -> str:
    """NDCG, clicks, coverage and concentration by round, with 95 % intervals as bands."""
    width, height = 2 * _WIDTH, 2 * _HEIGHT + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
    ]
    for number, arm in enumerate(found.rounds):
        x = _LEFT + 160 * number
        parts += [
            f'<rect x="{x}" y="10" width="22" height="4" fill="{_COLORS[arm]}"/>',
            _label(x + 28, 17, TITLES[arm], "start"),
        ]
    for number, key in enumerate(_PANELS):
        x, y = number % 2 * _WIDTH, 30 + number // 2 * _HEIGHT
        lines = {arm: [r.figures[key] for r in rounds] for arm, rounds in found.rounds.items()}
        parts += [f'<g transform="translate({x} {y})">', *_panel(MEASURES[key][0], lines), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title: str, lines: dict[str, list[Estimate]]) -> list[str]:
    values = [v for line in lines.values() for e in line for v in (e.low, e.high)]
    low, high = min(values), max(values)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    room = 0.06 * (high - low)
    low, high = low - room, high + room
    rounds = max(len(line) for line in lines.values())

    def at(number: int, value: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (number + 0.5) / rounds
        return f"{x:.1f},{_y(value, low, high):.1f}"

    parts = [_label(_LEFT, _TOP - 12, title, "start", bold=True)]
    for tick in range(_TICKS + 1):
        value = low + (high - low) * tick / _TICKS
        y = _y(value, low, high)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{_GRID}"/>'
        )
        parts.append(_label(_LEFT - 6, y + 4, f"{value:.3f}", "end"))
    for number in range(rounds):
        x = float(at(number, low).split(",")[0])
        parts.append(_label(x, _HEIGHT - _BOTTOM + 16, f"round {number}", "middle"))
    for arm, line in lines.items():
        parts += _drawn(_COLORS[arm], line, at)
    return parts


def _drawn(color: str, line: Sequence[Estimate], at: Place) -> list[str]:
    """A band of intervals, the line in it, and a point for each round."""
    above = [at(number, of.high) for number, of in enumerate(line)]
    below = [at(number, of.low) for number, of in enumerate(line)]
    middle = [at(number, of.value) for number, of in enumerate(line)]
    points = [point.split(",") for point in middle]
    return [
        f'<polygon points="{" ".join([*above, *reversed(below)])}" fill="{color}" '
        f'fill-opacity="0.2" stroke="{color}" stroke-opacity="0.3"/>',
        f'<polyline points="{" ".join(middle)}" fill="none" stroke="{color}" stroke-width="2"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>' for x, y in points),
    ]


def _y(value: float, low: float, high: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)


def _label(x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{_TEXT}" text-anchor="{anchor}"{weight}>'
        f"{escape(text)}</text>"
    )
