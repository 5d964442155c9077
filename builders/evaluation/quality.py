"""The quality table of a build: baselines, the ranker and the end-to-end figure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from builders.dataset.dataset import Dataset, Part
from builders.evaluation.baselines import factor_scorer, neighbour_scorer, popularity_scorer
from builders.evaluation.metrics import Metrics
from builders.evaluation.quality_rows import ALL, PARTS, QualityRow
from builders.evaluation.ranking import Scorer, full_ranks
from builders.evaluation.retrieved import RetrievedCandidates, retrieved_ranks
from builders.ranker.interface import Ranker
from builders.ranker.scoring import HybridScorer, SequenceScorer, candidate_scores, head_scores
from builders.retrieval.collaborative import Factors
from builders.retrieval.feature_step import FeatureStep
from builders.settings import Settings


@dataclass(frozen=True)
class Subject:
    """What is measured: a data set, the ranker, and what serving puts around it."""

    dataset: Dataset
    settings: Settings
    ranker: Ranker
    step: FeatureStep
    factors: Factors
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
    count = subject.settings.retrieval.candidates
    ends = (_end_to_end(subject, part) for part in PARTS)
    return [*rows, QualityRow(subject.settings.ranker.kind, str(count), *ends)]


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


def _end_to_end(subject: Subject, part: Part) -> Metrics:
    found = RetrievedCandidates.of(subject.dataset, subject.step, subject.settings, part)
    scores = candidate_scores(subject.ranker, found.history, found.candidate)
    if subject.ranker.head is not None:
        scores += head_scores(subject.ranker.head, found.features)
    return Metrics.of(retrieved_ranks(scores, found))
