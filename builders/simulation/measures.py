"""Figures of a round, each with its value when one user is left out: the jackknife's intervals.

A bootstrap draws some users twice and others never, and so shows fewer distinct items than there
were: its intervals of the coverage lie below the coverage. Leaving one user out after the other
(Efron and Stein 1981) has no such fault, and needs no seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.simulation.seen import Seen

_WIDTH = 1.959964
"""Standard errors on either side of a 95 % interval."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval over users."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """A figure of all users, and float64 [U] of all but each one."""

    value: float
    without: Floats

    def __sub__(self, other: Figure) -> Figure:
        """The difference, paired: the same users, and the same one left out on both sides."""
        return Figure(self.value - other.value, self.without - other.without)

    def estimate(self) -> Estimate:
        """With its interval."""
        users = len(self.without)
        spread = np.square(self.without - self.without.mean()).sum() * (users - 1) / users
        half = _WIDTH * float(np.sqrt(spread))
        return Estimate(self.value, self.value - half, self.value + half)


def ratio(part: Floats, whole: Floats) -> Figure:
    """Sum of ``part`` by sum of ``whole``, both [U]; 0 where there is nothing."""
    left = whole.sum() - whole
    without = np.divide(part.sum() - part, left, out=np.zeros(len(part)), where=left > 0)
    return Figure(float(part.sum() / whole.sum()) if whole.sum() else 0.0, without)


def coverage(seen: Seen) -> Figure:
    """Share of the items that were shown to anybody."""
    has = seen.shown > 0
    viewers = has.sum(0)
    alone = (has & (viewers == 1)).sum(1)
    covered, items = int((viewers > 0).sum()), has.shape[1]
    return Figure(covered / items, (covered - alone) / items)


def concentration(seen: Seen) -> Figure:
    """Gini coefficient of how often each item was shown, items never shown included."""
    total = seen.shown.sum(0)
    return Figure(gini(total), np.array([gini(total - mine) for mine in seen.shown]))


def gini(counts: NDArray[np.integer[Any]]) -> float:
    """0 where all are equal, nearly 1 where one has all (Gini 1912)."""
    if not counts.sum():
        return 0.0
    ordered, n = np.sort(counts), len(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def popular_share(seen: Seen, popular: NDArray[np.bool_]) -> Figure:
    """Share of what was shown that is among the popular items, bool [N]."""
    return ratio(seen.shown[:, popular].sum(1), seen.shown.sum(1))


MEASURES: dict[str, tuple[str, Callable[[Seen, NDArray[np.bool_]], Figure]]] = {
    "ndcg10": ("NDCG@10", lambda s, _: ratio(s.gain, s.graded)),
    "clicks_per_request": ("clicks per request", lambda s, _: ratio(s.clicks, s.requests)),
    "click_rate": ("clicks of impressions", lambda s, _: ratio(s.clicks, s.shown.sum(1))),
    "found": ("found so far", lambda s, _: ratio(s.found, s.wanted)),
    "coverage": ("coverage", lambda s, _: coverage(s)),
    "gini": ("Gini of impressions", lambda s, _: concentration(s)),
    "popular_share": ("top 10 % items", popular_share),
}
"""Title and definition of each figure."""
