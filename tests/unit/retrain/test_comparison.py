"""When a release counts as not worse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from builders.retrain.comparison import Comparison
from builders.retrain.window import Window

AFTER = 1_700_000_000


def window(user: list[int]) -> Window:
    number = np.array(user, np.int64)
    return Window([], np.zeros(0, np.int32), number, number, number)


def compared(old: NDArray[np.float64], new: NDArray[np.float64], tolerance: float) -> Comparison:
    users = window(list(range(len(old))))
    return Comparison.of(users, old, new, AFTER, tolerance, seed=0)


GAINS = np.random.default_rng(0).random(400)


@pytest.mark.parametrize(
    ("factor", "tolerance", "published"),
    [(1.0, 0.0, True), (1.2, 0.0, True), (0.95, 0.04, False), (0.95, 0.06, True), (0, 0.5, False)],
)
def test_the_whole_interval_has_to_be_tolerated(
    factor: float, tolerance: float, published: bool
) -> None:
    found = compared(GAINS, factor * GAINS, tolerance)
    assert found.not_worse is published
    assert found.quality.change == pytest.approx(factor - 1)


def test_what_may_as_well_be_worse_is_not_published() -> None:
    shuffled = np.random.default_rng(1).permutation(GAINS)
    few = compared(GAINS[:20], shuffled[:20], 0.1)
    assert few.quality.low < -0.1 < few.quality.high
    assert not few.not_worse


def test_where_neither_finds_anything_nothing_is_told() -> None:
    none = np.zeros(9)
    assert not compared(none, none, 0.1).not_worse
    assert compared(none, GAINS[:9], 0.1).not_worse


def test_a_user_counts_once_however_much_it_does() -> None:
    found = Comparison.of(
        window([0, 0, 0, 2]), np.array([1.0, 1, 1, 0]), np.ones(4), AFTER, 0.1, seed=0
    )
    assert (found.queries, found.users, found.before) == (4, 2, 0.5)
    assert found.quality.ndcg10 == 1.0


def test_no_query_is_no_proof() -> None:
    nothing = np.zeros(0)
    found = compared(nothing, nothing, 0.1)
    assert (found.queries, found.users, found.not_worse) == (0, 0, False)


def test_it_goes_into_a_manifest_and_into_a_line() -> None:
    found = compared(GAINS, 0.9 * GAINS, 0.1)
    assert Comparison.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert "400 events of 400 users after 2023-11-14 22:13:20: NDCG@10 0." in found.summary()
    assert "(-10.0%, 95 % interval -10.0% to -10.0%; tolerated -10.0%)" in found.summary()
