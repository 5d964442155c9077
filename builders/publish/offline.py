"""The offline pipeline: the release's own step code around a ranker that Triton has no part in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.evaluation.ranking import seen_items
from builders.ranker.interface import Ranker
from builders.retrieval.feature_step import open_feature_step
from ensembles.step_code import load_step


@dataclass(frozen=True)
class Ranked:
    """What the offline pipeline makes of B users.

    Attributes:
        candidate: int32 [B, C] item numbers, 0 for padding.
        logit: float32 [B, C].
        item: int32 [B, k] item numbers, best first, 0 in unused slots.
        score: float32 [B, k].
    """

    candidate: NDArray[np.int32]
    logit: NDArray[np.float32]
    item: NDArray[np.int32]
    score: NDArray[np.float32]


Scorer = Callable[[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]], NDArray[np.float32]]
"""history int32 [B, H], candidate int32 [B, C], candidate_features float32 [B, C, F] → logit
float32 [B, C]."""


def torch_scorer(ranker: Ranker) -> Scorer:
    """The ranker in PyTorch."""

    @torch.inference_mode()
    def score(*inputs: NDArray[Any]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = ranker(*map(torch.from_numpy, inputs)).numpy()
        return found

    ranker.eval()
    return score


class OfflinePipeline:
    """Features and policy of release 1 in ``repository``, around a ranker."""

    def __init__(self, repository: Path, score: Scorer, dataset: Dataset) -> None:
        version = repository / "features" / "1"
        self._remembered = int(load_step(version).state.KEPT_EVENTS)
        self._features = open_feature_step(version / "tables", version)
        self._policy = load_step(repository / "policy" / "1")
        self._score = score
        self._dataset = dataset

    def recommend(
        self,
        users: NDArray[np.int64],
        k: int,
        query: NDArray[np.float32] | None = None,
        weight: float = 0.0,
        similar: int = 0,
    ) -> Ranked:
        """Rank for users by their events before the test event.

        As in serving, items that lie behind a user's newest ``KEPT_EVENTS`` count as new.

        Args:
            query: float32 [B, V], vectors of pictures that come with the requests.
            weight: of a picture against a history.
            similar: items that look like the picture and join the candidates.
        """
        tables = self._features.tables
        history = self._dataset.histories("test", users, tables.history)
        seen = seen_items(self._dataset, "test", users)[:, -self._remembered :]
        candidate = self._features.retrieve(history, seen, tables.candidates)
        if query is None:
            packed = self._features.pack(history, candidate)
        else:
            assert tables.visual is not None, "the release takes no pictures"
            candidate = tables.visual.add_similar(query, seen, candidate, similar)
            packed = self._features.pack(history, candidate)
            tables.visual.write_columns(packed, query, history, candidate, weight)
        logit = self._score(history, candidate, packed)
        flags = (candidate > 0) * np.uint8(self._policy.REAL)
        top_k = np.full(len(users), k, np.int32)
        chosen = self._policy.choose(logit, candidate, flags, top_k)
        return Ranked(candidate, logit, chosen.item, chosen.score)
