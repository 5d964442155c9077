"""Candidate features: what the ranker's head reads beside the history."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .retrieve import NeighbourScores
from .tables import Tables

WIDTH = 7
"""Five of every request, and two that ``VisualTable`` fills where a request has a picture."""

_LEAST = np.float32(1e-3)


def pack(
    tables: Tables,
    scores: NeighbourScores,
    history: NDArray[np.int32],
    candidate: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Neighbour score, factor score, popularity, recency and category match of each candidate.

    Args:
        scores: of the rows' histories.
        history: int32 [B, H], padded left with 0, newest last.
        candidate: int32 [B, C], 0 for padding.

    Returns:
        float32 [B, C, WIDTH]; zeros for padding, since row 0 of every table is zero, and in the
        columns of a picture. The neighbour score is ``near_share`` of the row's sums.
    """
    newest = history[:, -tables.recent :]
    weights = np.where(newest > 0, tables.event_weights[-newest.shape[1] :], np.float32(0))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-9))
    packed = np.zeros((*candidate.shape, WIDTH), np.float32)
    packed[..., 0] = near_share(scores.of(candidate), scores.best(len(candidate)))
    packed[..., 1] = _match(tables.factors, newest, weights, candidate)
    packed[..., 2] = tables.popularity.take(candidate)
    packed[..., 3] = tables.recency.take(candidate)
    packed[..., 4] = _match(tables.categories, newest, weights, candidate)
    return packed


def near_share(score: NDArray[np.float32], best: NDArray[np.float32]) -> NDArray[np.float32]:
    """Neighbour scores on a logarithmic scale from 0 (none) to 1 (the row's best).

    Added to a ranker's scores, which are logarithms of chances too, it multiplies chances; sums
    of weights as they are depend on the length of the history and differ by orders of magnitude.

    Args:
        score: float32 [B, C] sums of neighbour weights.
        best: float32 [B] largest sum of each row.
    """
    share = score / np.maximum(best, np.finfo(np.float32).tiny)[:, None]
    scaled: NDArray[np.float32] = np.log1p(share / _LEAST) / np.log1p(1 / _LEAST)
    return scaled


def _match(
    table: NDArray[np.float32],
    newest: NDArray[np.int32],
    weights: NDArray[np.float32],
    candidate: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Candidates' rows of ``table`` times the weighted mean of the newest events' rows; [B, C]."""
    mean = weights[:, None, :] @ table.take(newest, axis=0)
    # One product a row: a single large one could round differently with other batch mates.
    return (table.take(candidate, axis=0) @ mean.transpose(0, 2, 1))[..., 0]
