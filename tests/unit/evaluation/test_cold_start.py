"""The cold-start table, against answers that are known."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from builders.compress.gates import QualityChange
from builders.dataset.dataset import Dataset
from builders.evaluation.cold_start import (
    ColdQueries,
    ColdSubject,
    bootstrap,
    category_popularity,
    cold_start,
)
from builders.evaluation.cold_start_table import ColdRow, ColdStart, render_cold_start
from builders.evaluation.quality_rows import write_quality
from builders.evaluation.ranking import full_ranks
from builders.ranker.registry import build_ranker
from builders.retrieval.feature_step import open_feature_step
from builders.retrieval.tables import write_tables
from tests.unit.ranker.tiny_log import dataset_of, settings_of

ITEMS = 30
COLD = np.arange(19, ITEMS + 1)
"""Twelve items without events; 30 has no picture."""


def _dataset() -> Dataset:
    """Two users: the first touched the held-out items 19, 20 and 20 again, the second 21."""
    dataset = dataset_of([[1, 2, 3, 4, 5], [6, 7, 8, 9]], items=ITEMS)
    return replace(
        dataset,
        cold=np.isin(np.arange(ITEMS + 1), COLD),
        cold_user=np.array([0, 0, 0, 1, 1]),
        cold_item=np.array([19, 20, 20, 21, 30], np.int32),
        cold_end=np.array([1, 2, 3, 7, 9]),
    )


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> ColdSubject:
    folder = tmp_path_factory.mktemp("tables")
    dataset, settings = _dataset(), settings_of()
    write_tables(dataset, settings, dataset.train_mask(), folder)
    torch.manual_seed(0)
    ranker = build_ranker(ITEMS, 8, settings.ranker).eval()
    with torch.no_grad():
        image, text = torch.randn(2, ITEMS + 1, 16)
        image[[0, 30]], text[0] = 0, 0
        item = ranker.get_submodule("item")
        item.get_parameter("weight")[19:] = (image + text)[19:]
    return ColdSubject(
        dataset, settings, ranker, open_feature_step(folder), {"image": image, "text": text}
    )


def _queries(dataset: Dataset) -> ColdQueries:
    ranked = dataset.cold.copy()
    ranked[30] = False
    return ColdQueries.of(dataset, ranked)


def test_queries_are_first_events_of_ranked_items() -> None:
    found = _queries(_dataset())
    assert found.item.tolist() == list(range(19, 30))
    assert found.user.tolist() == [0, 0, 1]
    assert found.end.tolist() == [1, 2, 7]
    assert found.target.tolist() == [1, 2, 3]
    assert [sorted(row[row > 0]) for row in found.seen] == [[], [1], []]


def test_a_scorer_that_knows_gets_everything_and_one_that_errs_nothing() -> None:
    dataset = _dataset()
    queries = _queries(dataset)
    answers = {1: 0, 2: 1, 7: 2}

    def knows(history: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        score = np.zeros((len(history), 11), np.float32)
        score[np.arange(len(history)), [answers[int(newest)] for newest in history[:, -1]]] = 1
        return score

    assert queries.gains(knows, dataset, 8).tolist() == [1, 1, 1]
    # Eleven items: the last one is not shown, unless one of the others was seen before.
    gains = queries.gains(lambda history: -knows(history), dataset, 8)
    np.testing.assert_allclose(gains, [0, 1 / np.log2(11), 0])


def test_random_gains_are_what_random_orders_get() -> None:
    dataset = _dataset()
    queries = _queries(dataset)
    rng = np.random.default_rng(0)
    mean = np.mean(
        [
            queries.gains(lambda h: rng.random((len(h), 11), np.float32), dataset, 8)
            for _ in range(4000)
        ],
        axis=0,
    )
    np.testing.assert_allclose(queries.random_gains(), mean, atol=0.02)


def test_the_whole_table(subject: ColdSubject, tmp_path: Path) -> None:
    found = cold_start(subject)
    assert found is not None
    assert (found.items, found.held_out, found.queries, found.users) == (11, 12, 3, 2)
    assert [row.method for row in found.rows] == [
        "random, on average",
        "popularity of its categories",
        "popularity with hindsight (a leak)",
        "picture alone",
        "text alone",
        "picture + text",
        "transformer, whole",
    ]
    figure = {row.method: row.ndcg10 for row in found.rows}
    # The head is untrained and the table is the sum of the parts.
    assert figure["transformer, whole"] == pytest.approx(figure["picture + text"])
    assert found.difference is not None
    difference = figure["picture + text"] - figure["text alone"]
    assert found.difference.ndcg10 == pytest.approx(difference)
    for row in (*found.rows, found.difference):
        assert row.low <= row.ndcg10 + 1e-9
        assert row.high >= row.ndcg10 - 1e-9
    change = QualityChange(0.5, -0.01, -0.02, 0.0)
    write_quality([], tmp_path / "quality.json", change, found)
    written = json.loads((tmp_path / "quality.json").read_text())
    assert ColdStart.from_json(written["cold_start"]) == found
    out = io.StringIO()
    Console(file=out, width=80).print(render_cold_start(found))
    assert "11 of 12 held-out items" in out.getvalue()
    assert "…" not in out.getvalue()


def test_one_modality_and_none(subject: ColdSubject) -> None:
    text = cold_start(replace(subject, parts={"text": subject.parts["text"]}))
    assert text is not None
    assert text.items == 12
    assert [row.method for row in text.rows][3:] == ["text alone", "transformer, whole"]
    assert text.difference is None
    assert text.verdict() == ""
    assert ColdStart.from_json(text.to_json()) == text
    bare = cold_start(replace(subject, parts={}))
    assert bare is not None
    assert [row.method for row in bare.rows][3:] == ["transformer, whole"]


def test_nothing_is_held_out(subject: ColdSubject) -> None:
    dataset = dataset_of([[1, 2, 3, 4, 5], [6, 7, 8, 9]], items=ITEMS)
    assert cold_start(replace(subject, dataset=dataset)) is None


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.03, "Pictures add to"),
        (-0.01, 0.03, "Pictures add nothing over texts that could be told from chance"),
        (-0.03, -0.01, "Pictures take away"),
    ],
)
def test_the_verdict_says_what_the_interval_allows(low: float, high: float, said: str) -> None:
    found = ColdStart(1, 1, 1, 1, (), ColdRow("difference", (low + high) / 2, low, high))
    assert found.verdict().startswith(said)


def test_intervals_are_over_users() -> None:
    # One user with many equal events says no more than one with a single event.
    many = {"m": np.repeat([1.0, 0.0], [50, 50])}
    (two_users,) = bootstrap(many, np.repeat([0, 1], 50))
    assert (two_users.ndcg10, two_users.low, two_users.high) == (0.5, 0, 1)
    (hundred,) = bootstrap(many, np.arange(100))
    assert 0.38 < hundred.low < 0.42
    assert 0.58 < hundred.high < 0.62
    same, other = bootstrap({"a": many["m"], "b": many["m"]}, np.arange(100))
    assert (same.low, same.high) == (other.low, other.high)


def test_popularity_as_it_is_known_of_a_new_item() -> None:
    dataset = _dataset()
    # Training events: items 1, 2, 3 and 6, 7; odd items 1, 3, 7 once each, even ones 2 and 6.
    events = dataset.item.copy()
    events[1] = 1
    found = category_popularity(replace(dataset, item=events))
    odd, even = (2 + 1 + 1) / 3, 1.0
    np.testing.assert_allclose(found[[19, 20]], [odd, even])
    categories = np.zeros_like(dataset.categories)
    found = category_popularity(replace(dataset, item=events, categories=categories))
    np.testing.assert_allclose(found, 5 / 4)


def test_held_out_items_are_no_competition_in_full_ranking() -> None:
    dataset = _dataset()

    def cold_first(_: object, users: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return np.tile(np.arange(ITEMS + 1, dtype=np.float32), (len(users), 1))

    # Items 10 to 18 stand before the targets 5 and 9; the held-out ones do not.
    assert full_ranks(cold_first, dataset, "test").tolist() == [13, 9]
    warm = replace(dataset, cold=np.zeros(ITEMS + 1, np.bool_))
    assert full_ranks(cold_first, warm, "test").tolist() == [25, 21]
