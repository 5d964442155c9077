"""How far the figures of two runs lie apart, and how much of that may be noise within the runs.

Two runs of one scenario are compared second by second: the same seconds are drawn from both, with
replacement, and each time the figures are set against each other (a paired bootstrap over blocks).
Blocks, because neighbouring latencies are alike: they waited in the same queue. Pairs, because
a second of a spike is to be compared with the same second of the other spike.

The interval covers what differs from second to second within a run. It does not cover what
changes between the runs and stays: another processor clock, a neighbour on the machine, another
order of memory. Runs of one release on a busy machine can differ by more than their intervals
say; repeat both, in turns, before you believe a small change. With 20 blocks it is also somewhat
too narrow, as intervals of this kind are. Hence the minimal sizes below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loadtest.record import RunRecord

CONFIDENCE = 0.99
RESAMPLES = 2000
BLOCK_SECONDS = 1.0
MIN_BLOCKS = 10
"""Fewer say nothing about noise, and so nothing about a regression."""
RELEVANT_RATIO = 1.05
"""A latency regresses when the whole interval of its ratio lies above this."""
RELEVANT_ERRORS = 0.001
"""The error share regresses when the whole interval of its difference lies above this."""
RELEVANT_NDCG = 0.005
"""NDCG@10 under load regresses when the whole interval of its loss lies above this."""
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Change:
    """One figure of two runs.

    Attributes:
        before, now: of the other run and of this one; latencies in ms.
        change: now / before of a latency, else how much worse it became.
        low, high: interval of ``change``.
        limit: it regressed when ``low`` is above this.
    """

    figure: str
    before: float
    now: float
    change: float
    low: float
    high: float
    limit: float

    @property
    def is_ratio(self) -> bool:
        """Whether ``change`` is a ratio, and not a difference."""
        return self.limit == RELEVANT_RATIO

    @property
    def regressed(self) -> bool:
        """Worse than before, by more than noise and by enough to matter."""
        return self.low > self.limit


def changes(before: RunRecord, now: RunRecord, minimum_count: int) -> list[Change]:
    """What can be compared: nothing of runs that are too short, no latency without answers.

    Args:
        minimum_count: answers that a p99 needs to be quoted.
    """
    count = int(min(before.seconds, now.seconds) / BLOCK_SECONDS)
    if count < MIN_BLOCKS:
        return []
    runs = _Blocks(before, count), _Blocks(now, count)
    found = [_error_share(*runs)]
    fewest = min(len(run.latency_ms) for run in (before, now))
    if fewest:
        kept = [n for n in _PERCENTILES if n != "p99" or fewest >= minimum_count]
        found = [*_latencies(*runs, kept), *found]
    if before.quality and now.quality and before.quality.gains and now.quality.gains:
        found.append(_quality(before.quality.gains, now.quality.gains))
    return found


class _Blocks:
    """A run cut into ``count`` blocks; what came later belongs to the last one."""

    def __init__(self, run: RunRecord, count: int) -> None:
        latency = np.asarray(run.latency_ms, dtype=np.float64)
        order = np.argsort(latency)
        self.count = count
        self.latency = latency[order]
        self.block = self._of(run.due_s)[order]
        self.failed = np.bincount(self._of(run.failed_s), minlength=count)
        self.answered = np.bincount(self.block, minlength=count)

    def _of(self, moments: Sequence[float]) -> Any:
        number = (np.asarray(moments, dtype=np.float64) / BLOCK_SECONDS).astype(np.int64)
        return number.clip(0, self.count - 1)

    def latencies(self, weights: Any, names: Sequence[str]) -> Any:
        """Percentiles, interpolated, and the mean, with each block taken so often: float [n]."""
        often = weights[self.block]
        upto = np.cumsum(often)
        total = int(upto[-1])
        place = np.array([_PERCENTILES[name] for name in names]) * (total - 1)
        low, high = np.floor(place), np.ceil(place)
        ends = [self.latency[np.searchsorted(upto, p, side="right")] for p in (low, high)]
        return np.append(
            ends[0] + (ends[1] - ends[0]) * (place - low), often @ self.latency / total
        )

    def answers(self, weights: Any) -> int:
        """How many there are then."""
        return int(weights @ self.answered)

    def error_share(self, weights: Any) -> float:
        """The same, of the error share."""
        failed = float(weights @ self.failed)
        return failed / max(failed + self.answers(weights), 1.0)


def _latencies(before: _Blocks, now: _Blocks, percentiles: Sequence[str]) -> list[Change]:
    def ratio(blocks: Any) -> Any:
        weights = np.bincount(blocks, minlength=before.count)
        if not (now.answers(weights) and before.answers(weights)):
            return np.zeros(len(percentiles) + 1)  # a draw that says nothing: no difference
        # Logarithms, so that now against before is the exact reverse of before against now.
        a, b = (np.maximum(r.latencies(weights, percentiles), 1e-9) for r in (before, now))
        return np.log(b / a)

    every = np.ones(before.count, dtype=np.int64)
    values = (run.latencies(every, percentiles) for run in (before, now))
    ends = np.exp(_interval((np.arange(before.count),), ratio))
    return [
        Change(f"{name} ms", a, b, b / max(a, 1e-9), low, high, RELEVANT_RATIO)
        for name, a, b, low, high in zip(
            [*percentiles, "mean"], *(v.tolist() for v in values), *ends.tolist(), strict=True
        )
    ]


def _error_share(before: _Blocks, now: _Blocks) -> Change:
    def difference(blocks: Any) -> float:
        weights = np.bincount(blocks, minlength=before.count)
        return now.error_share(weights) - before.error_share(weights)

    every = np.arange(before.count)
    a, b = (run.error_share(np.ones(before.count)) for run in (before, now))
    low, high = _interval((every,), difference).tolist()
    return Change("error share", a, b, b - a, low, high, RELEVANT_ERRORS)


def _quality(before: Sequence[float], now: Sequence[float]) -> Change:
    """Of all scored requests; the same ones, in pairs, where both runs scored equally many."""
    a, b = np.asarray(before), np.asarray(now)

    def loss(a: Any, b: Any) -> float:
        return float(a.mean() - b.mean())

    low, high = _interval((a, b), loss, paired=a.size == b.size).tolist()
    before_mean, now_mean = float(a.mean()), float(b.mean())
    return Change("NDCG@10 loss", before_mean, now_mean, loss(a, b), low, high, RELEVANT_NDCG)


def _interval(samples: tuple[Any, ...], statistic: Any, *, paired: bool = False) -> Any:
    """Ends of the interval: float [2, ...]."""
    from scipy.stats import bootstrap

    found = bootstrap(
        samples,
        statistic,
        paired=paired,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    return np.array(found.confidence_interval)
