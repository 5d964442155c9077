"""Ranges of activations, from real histories.

The histograms are kept here and not by ONNX Runtime's calibrators: those hold every activation
of every row in memory, products of attention included, sort them to count them, and with their
128 bins the entropy method has a single threshold to choose from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from builders.compress.settings import QuantiseStatic
from builders.evaluation.retrieved import RetrievedCandidates
from builders.export.item_lookup import table_of
from builders.export.verify import feed_of, open_session

BINS = 2048
LEVELS = 128
"""Magnitudes that an 8-bit integer with a sign can tell apart."""

_ROWS = 8
_MOST_ROWS = 64


class Histogram:
    """Counts of magnitudes in equal bins from 0 to ``top``, which doubles when it must."""

    def __init__(self) -> None:
        self.top = 0.0
        self.peak = 0.0
        self.counts = np.zeros(BINS, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count some more values, of any shape."""
        size = np.abs(values.ravel())
        peak = float(size.max(initial=0.0))
        if peak == 0:
            self.counts[0] += size.size
            return
        self.top = self.top or peak
        while self.top < peak:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), 0 * self.counts[::2]])
            self.top *= 2
        self.peak = max(self.peak, peak)
        # Divided first: the bins of the smallest numbers are more than a float32 can count.
        place = np.minimum(size / np.float32(self.top) * BINS, BINS - 1).astype(np.int32)
        self.counts += np.bincount(place, minlength=BINS)

    def percentile(self, percent: float) -> float:
        """Smallest bin edge with at least this share of the magnitudes below it."""
        shares = np.cumsum(self.counts) / self.counts.sum()
        bins = 1 + int(np.searchsorted(shares, min(percent / 100, shares[-1])))
        return min(self.top * bins / BINS, self.peak)

    def entropy(self) -> float:
        """Limit whose 128 levels keep most of the distribution (Migacz, GTC 2017).

        The divergence of the levels from the clipped distribution is smallest.
        """
        limits = range(LEVELS, BINS + 1, 4)
        best = min(limits, key=lambda bins: _divergence(self.counts, bins))
        return min(self.top * best / BINS, self.peak)


def _divergence(counts: NDArray[np.int64], limit: int) -> float:
    """Kullback-Leibler divergence of ``counts`` clipped at ``limit`` bins from 128 levels."""
    inside = counts[:limit].astype(np.float64)
    clipped = inside.copy()
    clipped[-1] += counts[limit:].sum()
    starts = np.arange(LEVELS) * limit // LEVELS
    width = np.diff(np.append(starts, limit))
    filled = np.add.reduceat((inside > 0).astype(np.float64), starts)
    mean = np.add.reduceat(inside, starts) / np.maximum(filled, 1)
    levels = np.where(inside > 0, np.repeat(mean, width), 0.0)
    real = clipped > 0
    p, q = clipped / clipped.sum(), levels / max(levels.sum(), 1.0)
    return float((p[real] * np.log(p[real] / np.maximum(q[real], 1e-9))).sum())


def ranges(
    source: Path, tensors: Iterable[str], rows: RetrievedCandidates, settings: QuantiseStatic
) -> Mapping[str, float]:
    """Largest magnitude that each tensor of a graph is to be told apart up to; 0 if all are 0.

    Args:
        rows: the first 64 are used.
    """
    histograms = {name: Histogram() for name in tensors}
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        watched = _with_outputs(source, histograms, Path(folder, "watched.onnx"))
        session = open_session(watched, table=table_of(source))
        count = min(_MOST_ROWS, len(rows.history))
        for start in range(0, count, _ROWS):
            part = np.arange(start, min(start + _ROWS, count))
            found = session.run(list(histograms), feed_of(session, rows, part))
            for histogram, values in zip(histograms.values(), found, strict=True):
                histogram.add(values)
    if settings.calibration == "entropy":
        return {name: h.entropy() for name, h in histograms.items()}
    return {name: h.percentile(settings.percentile) for name, h in histograms.items()}


def _with_outputs(source: Path, tensors: Iterable[str], target: Path) -> Path:
    model = onnx.load(source)
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in tensors
    )
    onnx.save(model, target)
    return target
