"""Graphs as scorers: for the held-out figures, and for the served check."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.compress.gates import QualityChange, gains, graph_logits, quality_change
from builders.compress.interface import Model, depends_on_batch
from builders.compress.settings import GraphPass
from builders.evaluation.quality import RetrievedScorer, Subject
from builders.evaluation.retrieved import RetrievedCandidates
from builders.publish.offline import Scorer, torch_scorer


def scorer_of(graph: Path, graph_passes: Sequence[GraphPass]) -> RetrievedScorer:
    """A graph in ONNX Runtime, as a scorer of retrieved candidates."""
    return partial(graph_logits, graph, alone=depends_on_batch(graph_passes))


def held_out_change(
    subject: Subject, before: RetrievedScorer, after: RetrievedScorer
) -> QualityChange:
    """NDCG@10 on the test split, the compressed ranker against the uncompressed one."""
    rows = RetrievedCandidates.of(subject.dataset, subject.step, subject.settings, "test")
    was, now = (gains(scorer(rows), rows) for scorer in (before, after))
    return quality_change(was, now, subject.settings.train.seed)


def offline_scorer(model: Model, graph: Path) -> Scorer:
    """What the served answers are compared with.

    PyTorch where the graph is only an export. Where the graph was changed after the export the
    graph itself, one row at a time: a rounded value next to a boundary falls to the other side
    when another batch size changes the last bit before it.
    """
    if not model.graph_passes:
        return torch_scorer(model.ranker)

    def score(
        history: NDArray[np.int32], candidate: NDArray[np.int32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        nothing = np.zeros(len(history), np.int32)
        rows = RetrievedCandidates(history, candidate, features, target=nothing)
        return graph_logits(graph, rows, alone=True)

    return score
