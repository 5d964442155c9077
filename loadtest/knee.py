"""Where a curve of latency over rate turns up: its knee."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST_RISE = 1.5
"""A curve whose latency rises by less than this factor has no knee: the server never queued."""


def knee(rates: Sequence[float], latencies_ms: Sequence[float]) -> float | None:
    """Rate of the point farthest below the chord from the curve's first point to its last.

    That is Kneedle (Satopaa et al., 2011, "Finding a 'Kneedle' in a Haystack") without its
    sensitivity, for a handful of points: the latency counts by its logarithm, or one overloaded
    point would flatten all others; it is made to rise only (isotonic regression), so that one
    point that a busy machine spoilt is no knee; and both axes are scaled to 0 to 1.

    Args:
        rates: in any order; of one that came several times the median latency counts.
        latencies_ms: above 0.

    Returns:
        None for fewer than four rates, and for a curve that hardly rises.
    """
    from scipy.optimize import isotonic_regression

    rate, group = np.unique(np.asarray(rates, float), return_inverse=True)
    if rate.size < 4:
        return None
    latency = np.log(np.asarray(latencies_ms, float))
    median = [float(np.median(latency[group == n])) for n in range(rate.size)]
    rising = isotonic_regression(median).x
    if rising[-1] - rising[0] < np.log(LEAST_RISE):
        return None
    x = (rate - rate[0]) / (rate[-1] - rate[0])
    y = (rising - rising[0]) / (rising[-1] - rising[0])
    return float(rate[int(np.argmax(x - y))])
