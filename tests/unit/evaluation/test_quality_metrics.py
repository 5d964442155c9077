"""Ranks and metrics against sorting, and what must not count as a good rank."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from builders.dataset.dataset import Part
from builders.evaluation.metrics import Metrics, ranks_of
from builders.evaluation.ranking import by_length, full_ranks, seen_items, trimmed
from ensembles.errors import BuildError
from tests.unit.ranker.tiny_log import ITEMS, circle


@given(
    scores=st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    data=st.data(),
)
def test_rank_is_the_place_in_a_sorted_list(scores: list[int], data: st.DataObject) -> None:
    items = list(range(1, len(scores) + 1))
    target = data.draw(st.sampled_from(items))
    seen = data.draw(st.lists(st.sampled_from([0, *items]), max_size=5))
    shown = [item for item in items if item not in seen]
    shown.sort(key=lambda item: (-scores[item - 1], item))
    expected = shown.index(target) if target in shown else len(scores)
    row = np.array([[99, *scores]], np.float32)
    found = ranks_of(row, np.array([target], np.int32), np.array([seen or [0]], np.int32))
    assert found.tolist() == [expected]


def test_scores_that_are_not_numbers_are_an_error() -> None:
    scores = np.array([[0, 1, np.nan]], np.float32)
    with pytest.raises(BuildError, match="not numbers"):
        ranks_of(scores, np.array([1], np.int32), np.zeros((1, 1), np.int32))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_metrics(ranks: list[int]) -> None:
    found = Metrics.of(np.array(ranks))
    users = len(ranks)
    for at, hit_rate, ndcg in ((5, found.hr5, found.ndcg5), (10, found.hr10, found.ndcg10)):
        assert hit_rate == pytest.approx(sum(r < at for r in ranks) / users)
        gains = [1 / math.log2(r + 2) for r in ranks if r < at]
        assert ndcg == pytest.approx(sum(gains) / users)


def test_no_target() -> None:
    with pytest.raises(BuildError, match="at least one held-out event"):
        Metrics.of(np.array([], np.int64))


def test_full_ranking_sees_each_user_once_and_nothing_later() -> None:
    dataset = circle(users=600)
    asked = []

    def clairvoyant(_: Part, users: NDArray[np.int64]) -> NDArray[np.float32]:
        asked.extend(users.tolist())
        scores = np.zeros((len(users), ITEMS + 1), np.float32)
        scores[np.arange(len(users)), dataset.item[dataset.test[users]]] = 1
        # Seen items are excluded, however high they score.
        for row, user in zip(scores, users, strict=True):
            row[dataset.seen("test", user)] = 2
        return scores

    assert not full_ranks(clairvoyant, dataset, "test").any()
    assert sorted(asked) == list(range(600))


def test_seen_items_are_all_events_before_the_target() -> None:
    dataset = circle()
    users, _ = dataset.targets("validation")
    for user, row in zip(users, seen_items(dataset, "validation", users), strict=True):
        assert row[row > 0].tolist() == dataset.seen("validation", user).tolist()


def test_groups_hold_everybody_by_length() -> None:
    dataset = circle(users=70)
    users, _ = dataset.targets("test")
    groups = list(by_length(dataset, "test", users, rows=16))
    assert sorted(np.concatenate(groups).tolist()) == list(range(70))
    length = np.concatenate([(dataset.test - dataset.offsets[:-1])[users[g]] for g in groups])
    assert (np.diff(length) >= 0).all()


def test_trimmed() -> None:
    history = np.array([[0, 0, 0, 4], [0, 0, 2, 3]], np.int32)
    assert trimmed(history).tolist() == [[0, 4], [2, 3]]
    assert trimmed(np.zeros((2, 5), np.int32)).tolist() == [[0], [0]]
