"""Retrieval and packing against the rules in plain Python."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triton import oracle
from tests.triton.tiny import CANDIDATES, HISTORY, ITEMS

ITEM = st.integers(1, ITEMS)
ROW = st.lists(ITEM, max_size=HISTORY)
ROWS = st.lists(st.tuples(ROW, st.lists(ITEM, max_size=ITEMS)), min_size=1, max_size=6)


def padded(rows: list[list[int]], width: int) -> np.ndarray[Any, Any]:
    return np.array([[0] * (width - len(r)) + r for r in rows], np.int32)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, count=st.integers(1, ITEMS + 3))
def test_retrieval_follows_the_rules(
    features: ModuleType, tables: Any, rows: list[Any], count: int
) -> None:
    history = padded([h for h, _ in rows], HISTORY)
    seen = padded([s for _, s in rows], ITEMS)
    found = features.FeatureStep(tables).retrieve(history, seen, count)
    assert found.dtype == np.int32
    for (events, gone), row in zip(rows, found.tolist(), strict=True):
        assert row == oracle.retrieve(tables, events, gone, count)


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, data=st.data())
def test_features_follow_the_rules(
    features: ModuleType, tables: Any, rows: list[Any], data: st.DataObject
) -> None:
    history = padded([h for h, _ in rows], HISTORY)
    candidate = np.array(
        [data.draw(st.lists(st.integers(0, ITEMS), min_size=7, max_size=7)) for _ in rows], np.int32
    )
    packed = features.FeatureStep(tables).pack(history, candidate)
    assert packed.dtype == np.float32
    expected = [
        [oracle.features(tables, events, item) for item in row]
        for (events, _), row in zip(rows, candidate.tolist(), strict=True)
    ]
    np.testing.assert_allclose(packed, expected, atol=1e-5)


def test_rows_do_not_depend_on_their_batch_mates(features: ModuleType, tables: Any) -> None:
    rng = np.random.default_rng(0)
    history = rng.integers(0, ITEMS + 1, (300, HISTORY)).astype(np.int32)
    step = features.FeatureStep(tables)
    together = step.retrieve(history, history, CANDIDATES)
    packed = step.pack(history, together)
    for row in (0, 127, 128, 299):
        one = history[row : row + 1]
        np.testing.assert_array_equal(step.retrieve(one, one, CANDIDATES)[0], together[row])
        np.testing.assert_array_equal(step.pack(one, together[row : row + 1])[0], packed[row])


def test_catalogues_that_outgrow_a_short_sort(
    features: ModuleType, tables: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = np.random.default_rng(1).integers(0, ITEMS + 1, (9, HISTORY)).astype(np.int32)
    short = features.retrieve.neighbour_scores(tables, history)
    monkeypatch.setattr(features.retrieve, "_SHORT_BITS", 0)
    long = features.retrieve.neighbour_scores(tables, history)
    np.testing.assert_array_equal(short.pair, long.pair)
    np.testing.assert_array_equal(short.score, long.score)


def test_ties_go_by_item_number(features: ModuleType, tables: Any) -> None:
    near = np.zeros_like(tables.neighbour_item)
    near[1, :4] = [40, 7, 30, 9]
    weight = (near > 0) * np.float32(0.5)
    even = replace(tables, neighbour_item=near, neighbour_weight=weight)
    found = features.FeatureStep(even).retrieve(
        np.array([[1]], np.int32), np.array([[1]], np.int32), 5
    )
    popular = next(int(i) for i in tables.popular if i not in {1, 7, 9, 30, 40})
    assert found.tolist() == [[7, 9, 30, 40, popular]]


def test_repeated_events_count_each_time(features: ModuleType, tables: Any) -> None:
    history = np.array([[3, 3]], np.int32)
    item = tables.neighbour_item[3, :1][None]
    scores = features.retrieve.neighbour_scores(tables, history)
    assert scores.of(item) == pytest.approx(tables.neighbour_weight[3, 0] * (1 + tables.decay))
    best = tables.neighbour_weight[3].max() * (1 + tables.decay)
    assert scores.best(3) == pytest.approx([best, 0, 0])


def test_near_share_runs_from_none_to_the_best(features: ModuleType) -> None:
    share = features.FeatureStep.near_share
    score = np.array([[0, 1e-6, 0.5, 2], [0, 0, 0, 0]], np.float32)
    scaled = share(score, score.max(axis=1))
    assert (np.diff(scaled[0]) > 0).all()
    assert scaled[0, 0] == 0
    assert scaled[0, 3] == pytest.approx(1)
    np.testing.assert_array_equal(scaled[1], 0)
    # Tenfold weights change nothing: the scale is the row's own.
    np.testing.assert_allclose(share(10 * score, 10 * score.max(axis=1)), scaled, rtol=1e-5)


def test_empty_history_is_finite_and_popular(features: ModuleType, tables: Any) -> None:
    step, nobody = features.FeatureStep(tables), np.zeros((2, HISTORY), np.int32)
    candidate = step.retrieve(nobody, nobody, CANDIDATES)
    np.testing.assert_array_equal(candidate, [tables.popular[:CANDIDATES]] * 2)
    packed = step.pack(nobody, candidate)
    assert np.isfinite(packed).all()
    assert not packed[..., [0, 1, 4]].any()


def test_items_without_categories_and_neighbours(features: ModuleType, tables: Any) -> None:
    bare = replace(
        tables,
        categories=np.zeros((ITEMS + 1, 0), np.float32),
        neighbour_item=np.zeros((ITEMS + 1, 2), np.int32),
        neighbour_weight=np.zeros((ITEMS + 1, 2), np.float32),
    )
    step, history = features.FeatureStep(bare), np.full((1, HISTORY), 5, np.int32)
    candidate = step.retrieve(history, history, 4)
    expected = [int(i) for i in tables.popular if i != 5][:4]
    assert candidate.tolist() == [expected]
    assert not step.pack(history, candidate)[..., [0, 4]].any()


def test_no_rows_at_all(features: ModuleType, tables: Any) -> None:
    step, none = features.FeatureStep(tables), np.zeros((0, HISTORY), np.int32)
    assert step.retrieve(none, none, 3).shape == (0, 3)
    assert step.pack(none, np.zeros((0, 3), np.int32)).shape == (0, 3, 7)
