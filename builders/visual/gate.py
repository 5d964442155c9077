"""What a smaller encoder is held against: the neighbours that the float graph finds, and time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.compress.gates import QualityChange, Timing, alternating, quality_change
from builders.export.verify import Feed, open_session
from builders.settings import Settings
from builders.visual.encoder_graph import run_graph
from ensembles.contracts import PIXELS

NEAREST = 10
_MOST_ROUNDS = 20
"""Of a latency measurement at the serving batch, which takes a tenth of a second a run."""


@dataclass(frozen=True)
class Gate:
    """Some of the catalogue's pictures, and what the float graph makes of them.

    Attributes:
        pixels: their pixels, a batch [B, 3, S, S] at a time, from the start at each call.
        vectors: float32 [M, V], by the float graph.
        seed: of the bootstrap.
        threads: processor threads; 0 are all.
    """

    pixels: Callable[[], Iterable[NDArray[np.float32]]]
    vectors: NDArray[np.float32]
    seed: int
    threads: int = 0

    def quality(self, graph: Path) -> QualityChange:
        """Mean over the pictures of the NDCG@10 of their neighbours, against the float graph's."""
        found = neighbour_ndcg(self.vectors, run_graph(graph, self.pixels(), threads=self.threads))
        return quality_change(np.ones_like(found), found, self.seed)


def neighbour_ndcg(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
    """NDCG@10 of each picture's neighbours by ``after``: float [M], 1 is the order of ``before``.

    The relevance of a neighbour is its cosine by ``before``, at least 0 (graded relevance,
    Järvelin and Kekäläinen 2002). The picture itself is left out; 1 where none is relevant.

    Args:
        before, after: vectors of length 1, [M, V], of the same pictures.
    """
    relevance = np.maximum(_cosines(before), 0).astype(np.float64)
    nearest = np.argsort(-_cosines(after), axis=1, kind="stable")[:, : len(before) - 1]
    best = -np.sort(-relevance, axis=1)[:, :NEAREST]
    found = np.take_along_axis(relevance, nearest[:, :NEAREST], axis=1)
    ideal = _discounted(best)
    return np.where(ideal > 0, _discounted(found) / np.where(ideal > 0, ideal, 1), 1.0)


def timings(
    before: Path, after: Path, pixels: NDArray[np.float32], settings: Settings
) -> tuple[Timing, Timing]:
    """Both graphs in alternation at batch 1 and at the serving batch, with served threads.

    Args:
        pixels: [B, 3, S, S]; repeated to fill the batch.
    """
    threads, rounds = settings.serving.ranker_threads, settings.compress.rounds
    sessions = open_session(before, threads), open_session(after, threads)

    def timed(batch: int, rounds: int) -> Timing:
        def feed(session: Any, number: int) -> Feed:
            del session
            return {PIXELS.name: pixels[(np.arange(batch) + number * batch) % len(pixels)]}

        return alternating(sessions, feed, rounds)

    return timed(1, rounds), timed(settings.compress.batch, min(rounds, _MOST_ROUNDS))


def _cosines(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found = vectors @ vectors.T
    np.fill_diagonal(found, -np.inf)
    return found


def _discounted(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    summed: NDArray[np.float64] = (gains / np.log2(np.arange(gains.shape[1]) + 2)).sum(axis=1)
    return summed
