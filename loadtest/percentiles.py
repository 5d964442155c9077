"""Latencies in fine resolution, summarised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensembles.errors import LoadTestError


@dataclass(frozen=True)
class Latency:
    """Summary of ``count`` latencies, in milliseconds."""

    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, latencies_ms: Sequence[float]) -> Latency:
        """Summarise latencies; percentiles between two of them are interpolated.

        Raises:
            LoadTestError: there are none, or one is negative or not finite.
        """
        values = np.asarray(latencies_ms, dtype=np.float64)
        if not values.size:
            raise LoadTestError(
                "expected latencies of answered requests, got none; measure for longer, "
                "or look at the errors"
            )
        if not np.isfinite(values).all() or values.min() < 0:
            raise LoadTestError("a latency is a finite number of milliseconds, 0 or more")
        p50, p95, p99 = np.percentile(values, [50, 95, 99]).tolist()
        return cls(values.size, float(values.mean()), p50, p95, p99)
