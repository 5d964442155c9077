"""Scores of a trained ranker, over chosen candidates or the whole catalogue."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset, Part
from builders.evaluation.ranking import trimmed
from builders.ranker.interface import FeatureHead, Ranker
from builders.retrieval.catalogue_features import pack_catalogue
from builders.retrieval.feature_step import FeatureStep

_ROWS = 256


class SequenceScorer:
    """States times item vectors, for users of a data set; see ``evaluation.ranking.Scorer``."""

    def __init__(self, ranker: Ranker, dataset: Dataset, history: int) -> None:
        self.ranker = ranker
        self.dataset = dataset
        self.history = history

    @torch.no_grad()
    def __call__(self, part: Part, users: NDArray[np.int64]) -> NDArray[np.float32]:
        return scores(self.ranker, self.dataset.histories(part, users, self.history))


@torch.no_grad()
def scores(ranker: Ranker, history: NDArray[np.int32]) -> NDArray[np.float32]:
    """Scores of all items, float32 [B, N+1], for histories int32 [B, H]; head left out."""
    device = next(ranker.parameters()).device
    rows = torch.from_numpy(np.ascontiguousarray(trimmed(history))).to(device)
    # Validation inside mixed-precision training is in float32 too, as serving is.
    with torch.autocast(device.type, enabled=False):
        found: NDArray[np.float32] = (
            (ranker.user_vector(rows) @ ranker.item_vectors().T).cpu().numpy()
        )
    return found


@torch.no_grad()
def candidate_scores(
    ranker: Ranker, history: NDArray[np.int32], candidate: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Scores of chosen items, float32 [M, C], for histories int32 [M, H]; head left out."""
    found = np.empty(candidate.shape, np.float32)
    for start in range(0, len(history), _ROWS):
        rows = slice(start, start + _ROWS)
        user = ranker.user_vector(torch.from_numpy(trimmed(history[rows]).copy()))
        vectors = ranker.candidate_vectors(torch.from_numpy(candidate[rows].copy()))
        found[rows] = (vectors @ user.unsqueeze(-1)).squeeze(-1).numpy()
    return found


class HybridScorer:
    """The whole ranker, head included, as a scorer over the whole catalogue."""

    def __init__(self, ranker: Ranker, dataset: Dataset, history: int, step: FeatureStep) -> None:
        self.ranker = ranker
        self.dataset = dataset
        self.history = history
        self.step = step

    def __call__(self, part: Part, users: NDArray[np.int64]) -> NDArray[np.float32]:
        history = self.dataset.histories(part, users, self.history)
        found = scores(self.ranker, history)
        if self.ranker.head is not None:
            found += head_scores(self.ranker.head, pack_catalogue(self.step, history))
        return found


@torch.no_grad()
def head_scores(head: FeatureHead, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the head adds, float32 [M, C], for features float32 [M, C, F]."""
    found = np.empty(features.shape[:2], np.float32)
    for row, part in zip(found, torch.from_numpy(features), strict=True):
        row[:] = head(part).numpy()
    return found
