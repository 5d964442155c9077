"""The end-to-end figure: only retrieved candidates are ranked, as in serving."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset, Part
from builders.evaluation.ranking import by_length, seen_items
from builders.retrieval.feature_step import FeatureStep
from builders.settings import Settings


@dataclass(frozen=True)
class RetrievedCandidates:
    """What the feature step gives the ranker for M users with a held-out event.

    Attributes:
        history: int32 [M, H].
        candidate: int32 [M, C], without items seen before.
        features: float32 [M, C, F].
        target: int32 [M], which need not be among the candidates.
    """

    history: NDArray[np.int32]
    candidate: NDArray[np.int32]
    features: NDArray[np.float32]
    target: NDArray[np.int32]

    @classmethod
    def of(
        cls, dataset: Dataset, step: FeatureStep, settings: Settings, part: Part
    ) -> RetrievedCandidates:
        """Retrieve and pack for every target of ``part``."""
        users, target = dataset.targets(part)
        history = dataset.histories(part, users, settings.features.history)
        candidate = np.zeros((len(users), settings.retrieval.candidates), np.int32)
        for rows in by_length(dataset, part, users):
            seen = seen_items(dataset, part, users[rows])
            candidate[rows] = step.retrieve(history[rows], seen, candidate.shape[1])
        return cls(history, candidate, step.pack(history, candidate), target)


def retrieved_ranks(
    scores: NDArray[np.float32], candidates: RetrievedCandidates
) -> NDArray[np.int64]:
    """0-based rank of each target among its candidates, C where it was not retrieved.

    Equal scores go by item number, as the policy step does.
    """
    item, target = candidates.candidate, candidates.target[:, None]
    is_target, real = item == target, item > 0
    own = np.where(is_target, scores, -np.inf).max(axis=1, keepdims=True)
    better = real & ((scores > own) | ((scores == own) & (item < target)))
    ranks = better.sum(axis=1)
    return np.where(is_target.any(axis=1), ranks, item.shape[1])
