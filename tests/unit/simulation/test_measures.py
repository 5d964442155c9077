"""Figures of rounds that were counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders.simulation.measures import (
    MEASURES,
    concentration,
    coverage,
    gini,
    popular_share,
    ratio,
)
from builders.simulation.seen import Seen
from builders.simulation.visit import Visit


def seen(shown: list[list[int]]) -> Seen:
    one = np.ones(len(shown))
    return Seen(np.array(shown, np.int32), one, one, one, one, one, one, np.array(1))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([3, 3, 3], 0.0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25), ([0, 0], 0.0), ([5], 0.0)],
)
def test_gini(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_what_one_user_less_would_have_been_shown() -> None:
    of = seen([[1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]])
    assert coverage(of).value == 3 / 4
    assert coverage(of).without.tolist() == [2 / 4, 2 / 4, 3 / 4]
    found = concentration(of)
    assert found.value == gini(np.array([1, 3, 1, 0]))
    assert found.without[2] == gini(np.array([1, 2, 1, 0]))
    popular = popular_share(of, np.array([False, True, False, False]))
    assert popular.value == 3 / 5
    assert popular.without.tolist() == [2 / 3, 2 / 3, 2 / 4]


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    values = np.array([0.1, 0.4, 0.2, 0.9, 0.3])
    found = ratio(values, np.ones(5)).estimate()
    half = 1.959964 * values.std(ddof=1) / np.sqrt(5)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(half)
    assert found.value - found.low == pytest.approx(half)


def test_a_difference_is_paired_by_user() -> None:
    before = np.array([0.1, 0.5, 0.9, 0.2])
    found = (ratio(before + 0.05, np.ones(4)) - ratio(before, np.ones(4))).estimate()
    assert (found.low, found.value, found.high) == pytest.approx((0.05, 0.05, 0.05))


def test_nothing_is_nothing() -> None:
    assert ratio(np.zeros(2), np.zeros(2)).estimate().value == 0.0


def test_a_round_is_counted_and_kept(tmp_path: Path) -> None:
    visits = [
        Visit([("a", "b"), ("b", "c")], [0.5, 1.0], ["b"], 2),
        Visit([("a",)], [], ["a"], 2),
    ]
    likes = {"u": frozenset("bc"), "v": frozenset("x")}
    left = {"u": frozenset("c"), "v": frozenset("x")}
    Seen.of(visits, ["a", "b", "c"], likes, left).save(tmp_path / "0.npz")
    found = Seen.load(tmp_path / "0.npz")
    assert found.shown.tolist() == [[1, 2, 1], [1, 0, 0]]
    popular = np.array([True, False, False])
    values = {name: of(found, popular).value for name, (_, of) in MEASURES.items()}
    assert values == pytest.approx(
        {
            "ndcg10": 0.75,
            "clicks_per_request": 2 / 3,
            "click_rate": 2 / 5,
            "found": 1 / 3,
            "coverage": 1.0,
            "gini": gini(np.array([2, 2, 1])),
            "popular_share": 2 / 5,
        }
    )
