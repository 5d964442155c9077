"""The comparison as tables and as JSON: medians over the rounds, with smallest and largest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from statistics import median

from rich.table import Table

from loadtest.peers.bench import Bench, Settings
from loadtest.peers.measure import Point
from loadtest.peers.peer import TRITON

FIGURES: dict[str, Callable[[Point], float]] = {
    "requests/s": lambda p: p.requests_per_second,
    "p50 ms": lambda p: p.latency.p50_ms,
    "p99 ms": lambda p: p.latency.p99_ms,
    "server CPU ms": lambda p: p.server_ms,
}


def ratios(
    points: Sequence[Point], base: Sequence[Point], figure: Callable[[Point], float]
) -> list[float]:
    """A figure as a multiple of the base's of the same round."""
    return [figure(p) / figure(b) for p, b in zip(points, base, strict=False)]


def spread(values: Sequence[float]) -> str:
    """The median, with smallest and largest in brackets where there are several."""
    middle = f"{median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f}-{max(values):.2f})"


def tables(bench: Bench) -> Iterator[Table]:
    """One table for each number of clients; ``x`` columns are multiples of Triton's figure."""
    for clients in sorted({clients for _, clients in bench.points}):
        table = Table(title=f"{clients} client{'s' * (clients > 1)}")
        table.add_column("server")
        for title in FIGURES:
            table.add_column(title, justify="right")
            table.add_column("x Triton", justify="right")
        base = bench.points[TRITON, clients]
        for name in [name for name, n in bench.points if n == clients]:
            points = bench.points[name, clients]
            cells = []
            for figure in FIGURES.values():
                cells.append(f"{median(map(figure, points)):.2f}")
                cells.append(spread(ratios(points, base, figure)))
            table.add_row(name, *cells)
        yield table


def as_json(bench: Bench, settings: Settings) -> str:
    """Everything that was measured, round by round, and what was left out."""
    points = [
        {"server": name, "clients": clients, "round": turn, **asdict(point)}
        for (name, clients), rounds in bench.points.items()
        for turn, point in enumerate(rounds, 1)
    ]
    content = {"settings": asdict(settings), "points": points, "left_out": bench.left_out}
    return json.dumps(content, indent=1)
