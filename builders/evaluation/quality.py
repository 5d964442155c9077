"""The quality table of a build: baselines, the ranker and the end-to-end figure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from builders.dataset.dataset import Dataset, Part
from builders.evaluation.baselines import factor_scorer, neighbour_scorer, popularity_scorer
from builders.evaluation.metrics import Metrics
from builders.evaluation.ranking import Scorer, full_ranks
from builders.evaluation.retrieved import RetrievedCandidates, retrieved_ranks
from builders.ranker.interface import Ranker
from builders.ranker.scoring import HybridScorer, SequenceScorer, candidate_scores, head_scores
from builders.retrieval.collaborative import Factors
from builders.retrieval.feature_step import FeatureStep
from builders.settings import Settings
from ensembles.errors import BuildError

PARTS: tuple[Part, ...] = ("validation", "test")


@dataclass(frozen=True)
class QualityRow:
    """One method on both held-out parts; ``ranked`` says among which items."""

    method: str
    ranked: str
    validation: Metrics
    test: Metrics


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
            "all items",
            *(Metrics.of(full_ranks(scorer, subject.dataset, part)) for part in PARTS),
        )
        for method, scorer in _scorers(subject)
    ]
    count = subject.settings.retrieval.candidates
    ends = (_end_to_end(subject, part) for part in PARTS)
    return [*rows, QualityRow(subject.settings.ranker.kind, f"{count} retrieved", *ends)]


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


def render(rows: Sequence[QualityRow]) -> Table:
    """For a terminal; the best figure of full ranking in each column is bold."""
    table = Table(
        title="Quality on held-out events (seen items excluded)",
        caption="Epochs and the hybrid head were chosen on validation events, nothing on test.",
    )
    table.add_column("method")
    table.add_column("ranked")
    for part in PARTS:
        for name in ("HR@5", "HR@10", "NDCG@5", "NDCG@10"):
            table.add_column(f"{part}\n{name}" if name == "HR@5" else f"\n{name}", justify="right")
    figures = [_figures(row) for row in rows]
    full = [f for f, row in zip(figures, rows, strict=True) if row.ranked == "all items"]
    best = [max(column) for column in zip(*full, strict=True)]
    for row, values in zip(rows, figures, strict=True):
        shown = [
            f"[bold]{value:.4f}[/]"
            if row.ranked == "all items" and value == top
            else f"{value:.4f}"
            for value, top in zip(values, best, strict=True)
        ]
        table.add_row(row.method, row.ranked, *shown)
    return table


def _figures(row: QualityRow) -> list[float]:
    return [*asdict(row.validation).values(), *asdict(row.test).values()]


def write_quality(rows: Sequence[QualityRow], path: Path) -> None:
    """As JSON."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=2), encoding="utf-8")


def read_quality(path: Path) -> list[QualityRow]:
    """What ``write_quality`` wrote.

    Raises:
        BuildError: the file is missing or damaged.
    """
    try:
        return [
            QualityRow(
                raw["method"], raw["ranked"], Metrics(**raw["validation"]), Metrics(**raw["test"])
            )
            for raw in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise BuildError(f"{path} holds no quality table ({e}); build again") from e
