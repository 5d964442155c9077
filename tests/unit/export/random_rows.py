"""Rows with random events and candidates; every other history is half padding."""

from __future__ import annotations

import numpy as np

from builders.evaluation.retrieved import RetrievedCandidates
from ensembles.contracts import CANDIDATE_FEATURES_WIDTH


def random_rows(items: int, history: int, candidates: int, rows: int = 20) -> RetrievedCandidates:
    rng = np.random.default_rng(0)
    events = rng.integers(1, items + 1, (rows, history), dtype=np.int32)
    events[::2, : history // 2] = 0
    candidate = rng.integers(1, items + 1, (rows, candidates), dtype=np.int32)
    features = rng.random((rows, candidates, CANDIDATE_FEATURES_WIDTH), dtype=np.float32)
    return RetrievedCandidates(events, candidate, features, candidate[:, 0])
