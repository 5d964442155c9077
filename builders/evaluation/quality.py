"""The quality table of a build: baselines, the ranker and the end-to-end figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.evaluation.baselines import factor_scorer, neighbour_scorer, popularity_scorer
from builders.evaluation.metrics import Metrics
from builders.evaluation.quality_rows import ALL, PARTS, QualityRow
from builders.evaluation.ranking import Scorer, full_ranks
from builders.evaluation.retrieved import RetrievedCandidates, retrieved_ranks
from builders.ranker.interface import Ranker
from builders.ranker.scoring import HybridScorer, SequenceScorer
from builders.retrieval.collaborative import Factors
from builders.retrieval.feature_step import FeatureStep
from builders.settings import Settings

RetrievedScorer = Callable[[RetrievedCandidates], NDArray[np.float32]]
"""Scores of retrieved candidates: float32 [M, C]."""


@dataclass(frozen=True)
class Subject:
    """What is measured: a data set, the ranker, and what serving puts around it.

    Attributes:
        ranked: name → a ranker of the build as it would be served, for the end-to-end figures.
    """

    dataset: Dataset
    settings: Settings
    ranker: Ranker
    step: FeatureStep
    factors: Factors
    ranked: Mapping[str, RetrievedScorer]
    lstm: Ranker | None = None


def quality_table(subject: Subject) -> list[QualityRow]:
    """Full ranking with seen items excluded, then the ranking of retrieved candidates only.

    Raises:
        BuildError: validation or test holds no event, or a ranker's scores are no numbers.
    """
    rows = [
        QualityRow(
            method,
            ALL,
            *(Metrics.of(full_ranks(scorer, subject.dataset, part)) for part in PARTS),
        )
        for method, scorer in _scorers(subject)
    ]
    count = str(subject.settings.retrieval.candidates)
    retrieved = [
        RetrievedCandidates.of(subject.dataset, subject.step, subject.settings, part)
        for part in PARTS
    ]
    for name, scorer in subject.ranked.items():
        ends = (Metrics.of(retrieved_ranks(scorer(found), found)) for found in retrieved)
        rows.append(QualityRow(name, count, *ends))
    return rows


def _scorers(subject: Subject) -> Iterator[tuple[str, Scorer]]:
    dataset, length = subject.dataset, subject.settings.features.history
    kind = subject.settings.ranker.kind
    yield "popularity", popularity_scorer(dataset)
    yield "item neighbours", neighbour_scorer(dataset, subject.step, length)
    yield "ALS", factor_scorer(subject.factors)
    if subject.lstm is not None:
        yield "lstm, no head", SequenceScorer(subject.lstm, dataset, length)
    if subject.ranker.head is not None:
        yield f"{kind}, no head", SequenceScorer(subject.ranker, dataset, length)
    yield kind, HybridScorer(subject.ranker, dataset, length, subject.step)
