"""What the ranker has to beat, as scorers over the whole catalogue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset, Part
from builders.evaluation.ranking import Scorer
from builders.retrieval.catalogue_features import pack_catalogue
from builders.retrieval.collaborative import Factors
from builders.retrieval.feature_step import FeatureStep

_NEIGHBOUR_SCORE = 0


def popularity_scorer(dataset: Dataset) -> Scorer:
    """Training events per item, the same for everybody."""
    train = dataset.item[dataset.train_mask()]
    count = np.bincount(train, minlength=dataset.items + 1).astype(np.float32)

    def score(_: Part, users: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.tile(count, (len(users), 1))

    return score


def neighbour_scorer(dataset: Dataset, step: FeatureStep, history: int) -> Scorer:
    """Summed neighbour weights of the newest events, as retrieval scores them."""

    def score(part: Part, users: NDArray[np.int64]) -> NDArray[np.float32]:
        packed = pack_catalogue(step, dataset.histories(part, users, history))
        return np.ascontiguousarray(packed[..., _NEIGHBOUR_SCORE])

    return score


def factor_scorer(factors: Factors) -> Scorer:
    """ALS: user factors, fitted on training events, times item factors."""

    def score(_: Part, users: NDArray[np.int64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = factors.user[users] @ factors.item.T
        return found

    return score
