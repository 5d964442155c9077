"""When requests are due: moments that are fixed before the first one is sent (an open loop).

A client that waits for an answer before it asks again (a closed loop) asks a slow server less
often, and so hides the queue. Here a request is due whatever became of those before it, and its
latency counts from the moment it was due.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ensembles.errors import LoadTestError

MOST = 5_000_000
"""Requests that one schedule may hold."""


class Arrivals(StrEnum):
    """How far apart requests are: always the same, or as of many people independent of another."""

    CONSTANT = "constant"
    POISSON = "poisson"


def schedule(
    arrivals: Arrivals, rates: tuple[float, float], seconds: float, seed: int
) -> NDArray[np.float64]:
    """Moments in seconds from 0, ascending, before ``seconds``; the same for the same ``seed``.

    Args:
        rates: requests/s at the beginning and at the end; linear in between.

    Raises:
        LoadTestError: a number is out of range, or these are too many requests.
    """
    first, last = rates
    expected = (first + last) / 2 * seconds
    if not (np.isfinite(expected) and first > 0 and last > 0 and seconds > 0):
        raise LoadTestError(
            f"a schedule has rates and seconds above 0; got {first}, {last} and {seconds}"
        )
    if expected > MOST:
        raise LoadTestError(f"a schedule has at most {MOST:,} requests; got {expected:,.0f}")
    # Requests that are due by each moment, in the mean; what is drawn is counted on that scale.
    if arrivals is Arrivals.CONSTANT:
        due_by = np.arange(np.ceil(expected))
    else:
        room = int(expected + 10 * np.sqrt(expected) + 20)
        due_by = np.random.default_rng(seed).exponential(size=room).cumsum()
    due_by = due_by[due_by < expected]
    slope = (last - first) / seconds
    moments: NDArray[np.float64] = 2 * due_by / (first + np.sqrt(first**2 + 2 * slope * due_by))
    return moments
