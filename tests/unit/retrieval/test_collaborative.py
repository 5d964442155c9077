"""Item neighbours against a plain reading of their formula; factors; determinism."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.retrieval.collaborative import fit_factors, fit_neighbours, interactions
from builders.settings import Retrieval
from ensembles.errors import BuildError
from tests.unit.ranker.tiny_log import circle, dataset_of

LOGS = st.lists(st.lists(st.integers(1, 9), min_size=4, max_size=12), min_size=1, max_size=15)


def _similarity(dataset: Dataset, settings: Retrieval) -> NDArray[np.float64]:
    size = dataset.items + 1
    logs = [dataset.train_history(user).tolist() for user in range(dataset.users)]
    count = Counter(item for log in logs for item in log)
    found = np.zeros((size, size))
    for log in logs:
        damping = max(len(log), 1) ** -settings.user_damping
        for (early, one), (late, other) in itertools.combinations(enumerate(log), 2):
            if one != other and late - early <= settings.window:
                weight = damping * (late - early) ** -settings.gap_power
                found[one, other] += weight
                found[other, one] += weight * settings.backward
    for one, other in itertools.product(range(1, size), repeat=2):
        if found[one, other]:
            found[one, other] **= 2
            found[one, other] /= found[one, other] ** 0.5 + settings.shrinkage
            found[one, other] /= count[one] ** settings.asymmetry
            found[one, other] /= count[other] ** (1 - settings.asymmetry)
    return found


@given(
    log=LOGS,
    settings=st.builds(
        Retrieval,
        window=st.sampled_from([1, 3, 50]),
        gap_power=st.sampled_from([0.0, 0.7]),
        backward=st.sampled_from([0.0, 0.3, 1.0]),
        user_damping=st.sampled_from([0.0, 0.5]),
        shrinkage=st.sampled_from([0.0, 0.5]),
        asymmetry=st.sampled_from([0.0, 0.3, 1.0]),
        neighbours=st.integers(1, 12),
    ),
)
def test_neighbours(log: list[list[int]], settings: Retrieval) -> None:
    dataset = dataset_of(log, items=9)
    near = fit_neighbours(dataset, dataset.train_mask(), settings)
    expected, width = _similarity(dataset, settings), settings.neighbours
    assert near.item.shape == near.weight.shape == (10, width)
    for item in range(10):
        wanted = np.sort(expected[item])[::-1][:width]
        found = near.weight[item]
        np.testing.assert_allclose(found[: len(wanted)], wanted, rtol=1e-5, atol=1e-9)
        there = near.item[item] > 0
        np.testing.assert_allclose(expected[item, near.item[item][there]], found[there], rtol=1e-5)
        assert not found[~there].any()
        assert len(set(near.item[item][there])) == there.sum()
        assert item not in near.item[item][there]


def test_interactions_sum_the_weights_of_chosen_events() -> None:
    dataset = dataset_of([[1, 2, 1, 3, 4], [2, 2, 5]], items=5)
    weight = np.arange(8, dtype=np.float32)
    dataset = Dataset(**{**vars(dataset), "weight": weight})
    found = interactions(dataset, np.array([1, 1, 1, 0, 0, 1, 1, 0], bool)).toarray()
    assert found.tolist() == [[0, 2, 1, 0, 0, 0], [0, 0, 11, 0, 0, 0]]


def test_no_event() -> None:
    dataset = circle()
    nothing = np.zeros(len(dataset.item), bool)
    with pytest.raises(BuildError, match="at least one training event"):
        interactions(dataset, nothing)
    with pytest.raises(BuildError, match="at least one training event"):
        fit_neighbours(dataset, nothing, Retrieval())


def test_factors_tell_groups_apart_and_follow_the_seed() -> None:
    rng = np.random.default_rng(0)
    halves = [np.arange(1, 7), np.arange(7, 13)]
    log = [[*rng.permutation(halves[user % 2])[:5].tolist(), 1, 1] for user in range(40)]
    matrix = interactions(data := dataset_of(log, items=12), data.train_mask())
    settings = Retrieval(factors=4, iterations=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit_factors(matrix, settings, seed=1, threads=2)
    assert found.item.shape == (13, 4)
    assert found.user.shape == (40, 4)
    assert not found.item[0].any()
    score = found.user @ found.item.T
    for user in range(40):
        own, other = score[user, halves[user % 2]], score[user, halves[1 - user % 2]]
        assert own.mean() > other.mean() + 0.3
    again = fit_factors(matrix, settings, seed=1, threads=1)
    np.testing.assert_array_equal(found.item, again.item)
    other_seed = fit_factors(matrix, settings, seed=2, threads=1)
    assert not np.array_equal(found.item, other_seed.item)
