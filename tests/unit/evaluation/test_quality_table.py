"""Baselines, the end-to-end figure and the table itself."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from builders.compress.gates import QualityChange
from builders.evaluation.baselines import factor_scorer, neighbour_scorer, popularity_scorer
from builders.evaluation.metrics import Metrics
from builders.evaluation.quality import Subject, quality_table
from builders.evaluation.quality_rows import render, rows_of, write_quality
from builders.evaluation.ranking import full_ranks
from builders.evaluation.retrieved import RetrievedCandidates, retrieved_ranks
from builders.ranker.registry import build_ranker
from builders.retrieval.feature_step import open_feature_step
from builders.retrieval.tables import write_tables
from tests.unit.ranker.tiny_log import ITEMS, circle, settings_of


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("tables")
    dataset, settings = circle(), settings_of()
    factors = write_tables(dataset, settings, dataset.train_mask(), folder)
    ranker = build_ranker(ITEMS, 8, settings.ranker).eval()
    ranked = {"transformer": _popular_first, "compressed": _popular_first}
    return Subject(dataset, settings, ranker, open_feature_step(folder), factors, ranked)


def _popular_first(rows: RetrievedCandidates) -> NDArray[np.float32]:
    return rows.features[..., 2]


def test_popularity_counts_training_events_only(subject: Subject) -> None:
    dataset = subject.dataset
    train = np.concatenate([dataset.train_history(u) for u in range(dataset.users)])
    found = popularity_scorer(dataset)("test", np.array([3, 4]))
    assert found.shape == (2, ITEMS + 1)
    assert (found == np.bincount(train, minlength=ITEMS + 1)).all()


def test_neighbours_score_as_retrieval_does(subject: Subject) -> None:
    users, _ = subject.dataset.targets("test")
    score = neighbour_scorer(subject.dataset, subject.step, 8)("test", users)
    found = RetrievedCandidates.of(subject.dataset, subject.step, subject.settings, "test")
    for row, candidate, features in zip(score, found.candidate, found.features, strict=True):
        np.testing.assert_allclose(row[candidate], features[:, 0], atol=1e-6)


def test_als_is_a_product_of_factors(subject: Subject) -> None:
    found = factor_scorer(subject.factors)("test", np.array([5]))
    expected = subject.factors.item @ subject.factors.user[5]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_retrieved_ranks_against_sorting(subject: Subject) -> None:
    found = RetrievedCandidates.of(subject.dataset, subject.step, subject.settings, "validation")
    found.candidate[:, 7:] = 0
    scores = np.random.default_rng(0).integers(0, 4, found.candidate.shape).astype(np.float32)
    for rank, row, items, target in zip(
        retrieved_ranks(scores, found), scores, found.candidate, found.target, strict=True
    ):
        pairs = sorted((-score, item) for score, item in zip(row, items, strict=True) if item)
        order = [item for _, item in pairs]
        assert rank == (order.index(target) if target in order else items.size)


def test_table(subject: Subject, tmp_path: Path) -> None:
    rows = quality_table(subject)
    assert [(row.method, row.ranked) for row in rows] == [
        ("popularity", "all"),
        ("item neighbours", "all"),
        ("ALS", "all"),
        ("transformer, no head", "all"),
        ("transformer", "all"),
        ("transformer", "10"),
        ("compressed", "10"),
    ]
    for part in ("validation", "test"):
        expected = Metrics.of(full_ranks(factor_scorer(subject.factors), subject.dataset, part))
        assert getattr(rows[2], part) == expected
    # The head of this ranker is untrained and adds nothing.
    assert rows[3].test == rows[4].test
    found = RetrievedCandidates.of(subject.dataset, subject.step, subject.settings, "test")
    assert rows[-1].test == Metrics.of(retrieved_ranks(_popular_first(found), found))
    write_quality(rows, tmp_path / "quality.json", QualityChange(0.5, -0.01, -0.02, 0.0))
    written = json.loads((tmp_path / "quality.json").read_text())
    assert rows_of(written["rows"]) == rows
    assert written["compressed"]["change"] == -0.01
    out = io.StringIO()
    Console(file=out, width=80).print(render(rows))
    assert f"{rows[1].test.ndcg10:.4f}".removeprefix("0")[:5] in out.getvalue()
    assert "…" not in out.getvalue()


def test_table_with_an_lstm_and_without_head(subject: Subject) -> None:
    shape = subject.settings.ranker.model_copy(update={"hybrid": False, "kind": "lstm"})
    lstm = build_ranker(ITEMS, 8, shape).eval()
    rows = quality_table(replace(subject, ranker=lstm, lstm=lstm))
    assert [row.method for row in rows][3:] == [
        "lstm, no head",
        "transformer",
        "transformer",
        "compressed",
    ]
    assert rows[3].test == rows[4].test
