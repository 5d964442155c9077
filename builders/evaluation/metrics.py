"""Ranks under full ranking, and the metrics that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensembles.errors import BuildError


@dataclass(frozen=True)
class Metrics:
    """Shares in 0..1 of users, one target each."""

    hr5: float
    hr10: float
    ndcg5: float
    ndcg10: float

    @classmethod
    def of(cls, ranks: NDArray[np.int64]) -> Metrics:
        """From 0-based ranks of the targets; a target that is never shown has a high rank.

        With one target per user NDCG is ``1 / log2(rank + 2)`` and the hit rate is recall.

        Raises:
            BuildError: there is no target.
        """
        if not len(ranks):
            raise BuildError(
                "quality needs at least one held-out event; got none: "
                "the log is too short for the chosen split"
            )
        gain = 1 / np.log2(ranks + 2)
        return cls(
            hr5=float((ranks < 5).mean()),
            hr10=float((ranks < 10).mean()),
            ndcg5=float((gain * (ranks < 5)).mean()),
            ndcg10=float((gain * (ranks < 10)).mean()),
        )


def ranks_of(
    scores: NDArray[np.float32], target: NDArray[np.int32], seen: NDArray[np.int32]
) -> NDArray[np.int64]:
    """0-based rank of each target among the unseen items; equal scores go by item number.

    A target that the user has seen before is never shown, so its rank is N.

    Args:
        scores: float [M, N+1]; column 0 is padding. Overwritten at seen items.
        target: int [M].
        seen: int [M, S], padded with 0.

    Raises:
        BuildError: a score is not a number, which would otherwise count as a best rank.
    """
    if np.isnan(scores).any():
        raise BuildError("a ranker gave scores that are not numbers; lower train.learning_rate")
    rows = np.arange(len(scores))[:, None]
    scores[:, 0] = -np.inf
    scores[rows, seen] = -np.inf
    own = scores[rows, target[:, None]]
    before = np.arange(scores.shape[1]) < target[:, None]
    ranks: NDArray[np.int64] = (scores > own).sum(1) + ((scores == own) & before).sum(1)
    return np.where(own[:, 0] == -np.inf, scores.shape[1] - 1, ranks)
