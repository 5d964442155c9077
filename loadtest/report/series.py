"""A run over time, in bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from loadtest.record import RunRecord
from loadtest.scenario import Phase, Scenario

ENOUGH = 100
"""Answers that a bin needs for its p99."""
_SECONDS = (1, 2, 5, 10, 30, 60, 300)
_MOST_BINS = 300


@dataclass(frozen=True)
class Series:
    """By bin of ``bin_s``, all float [bins].

    Attributes:
        middle_s: from the first measured moment.
        p50, p95, p99: ms; NaN where a bin has too few answers.
        answered, failed: per second.
    """

    bin_s: float
    middle_s: Any
    p50: Any
    p95: Any
    p99: Any
    answered: Any
    failed: Any


def series(run: RunRecord) -> Series:
    """Bins as narrow as the requests allow for; requests count when they were due."""
    due, failed = np.asarray(run.due_s, dtype=np.float64), np.asarray(run.failed_s)
    seconds = max(run.seconds, 1e-9)
    width = next((s for s in _SECONDS if _wide_enough(s, due.size, seconds)), _SECONDS[-1])
    edges = np.arange(0, max(seconds - width / 2, width / 2), width)
    edges = np.append(edges, seconds)  # the last bin takes what is left of less than half a width
    number = np.searchsorted(edges[1:-1], due, side="right")
    latency = np.asarray(run.latency_ms, dtype=np.float64)
    curves = np.full((3, edges.size - 1), np.nan)
    for i in range(edges.size - 1):
        inside = latency[number == i]
        if inside.size:
            curves[:2, i] = np.percentile(inside, [50, 95])
        if inside.size >= ENOUGH:
            curves[2, i] = np.percentile(inside, 99)
    counts = [np.histogram(m.clip(0, seconds), edges)[0] / np.diff(edges) for m in (due, failed)]
    return Series(width, (edges[:-1] + edges[1:]) / 2, *curves, *counts)


def _wide_enough(width: float, answers: int, seconds: float) -> bool:
    return answers * width / seconds >= ENOUGH and seconds / width <= _MOST_BINS


def phase_starts(scenario: Scenario) -> list[tuple[float, str]]:
    """When each phase begins (s), and what it asks for."""
    ends = np.cumsum([phase.seconds for phase in scenario.phases])
    starts = [0.0, *ends[:-1].tolist()]
    return [(s, _asks(phase)) for s, phase in zip(starts, scenario.phases, strict=True)]


def _asks(phase: Phase) -> str:
    if phase.users:
        return f"{phase.users} users"
    first, last = phase.rates
    return f"{first:g}/s" if first == last else f"{first:g} to {last:g}/s"
