"""Properties of augmented sequences that hold for every draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from builders.dataset.augment import augment
from builders.settings import Augment

WIDTH = 12
ITEMS = 30
OPERATIONS = ("crop", "mask", "reorder", "substitute")

sequences = st.lists(st.lists(st.integers(1, ITEMS), max_size=WIDTH), min_size=1, max_size=8)
shares = st.floats(0.05, 0.95)
seeds = st.integers(0, 2**32 - 1)


def _batch(rows: list[list[int]]) -> NDArray[np.int32]:
    return np.array([[0] * (WIDTH - len(row)) + row for row in rows], np.int32)


def _rows(batch: NDArray[np.int32]) -> list[list[int]]:
    """Sequences without padding, which must all be on the left."""
    for row in batch:
        assert np.array_equal(np.sort(row != 0), row != 0)
    return [[int(item) for item in row if item] for row in batch]


def _neighbours() -> NDArray[np.int32]:
    """Items n+100 and n+200 are like n; item 1 has none, item 2 has one."""
    table = np.arange(ITEMS + 1, dtype=np.int32)[:, None] + np.array([100, 200], np.int32)
    table[[0, 1]] = 0
    table[2, 1] = 0
    return table


def _changed(rows: list[list[int]], name: str, share: float, seed: int) -> list[list[int]]:
    settings = Augment.model_validate({name: 1.0, "share": share})
    batch = _batch(rows)
    before = batch.copy()
    rng = np.random.default_rng(seed)
    out = augment(batch, settings, rng, _neighbours())
    assert np.array_equal(batch, before), "the input is left alone"
    assert out.shape == batch.shape
    assert out.dtype == np.int32
    again = augment(batch, settings, np.random.default_rng(seed), _neighbours())
    assert np.array_equal(out, again), "the generator is the only source of chance"
    return _rows(out)


def _touched(size: int, share: float, least: int = 1, left: int = 1) -> int:
    return min(max(int(size * share), least), max(size - left, 0))


@given(sequences, shares, seeds)
def test_crop_keeps_a_run(rows: list[list[int]], share: float, seed: int) -> None:
    for row, out in zip(rows, _changed(rows, "crop", share, seed), strict=True):
        assert len(out) == len(row) - _touched(len(row), share)
        assert any(row[start : start + len(out)] == out for start in range(len(row) + 1))


@given(sequences, shares, seeds)
def test_mask_removes_events_and_keeps_order(
    rows: list[list[int]], share: float, seed: int
) -> None:
    for row, out in zip(rows, _changed(rows, "mask", share, seed), strict=True):
        assert len(out) == len(row) - _touched(len(row), share)
        rest = iter(row)
        assert all(item in rest for item in out), "a subsequence"


@given(sequences, shares, seeds)
def test_reorder_moves_one_run(rows: list[list[int]], share: float, seed: int) -> None:
    for row, out in zip(rows, _changed(rows, "reorder", share, seed), strict=True):
        assert sorted(out) == sorted(row)
        moved = [n for n, (a, b) in enumerate(zip(row, out, strict=True)) if a != b]
        if moved:
            assert moved[-1] - moved[0] < _touched(len(row), share, least=2, left=0)


@given(sequences, shares, seeds)
def test_substitute_puts_similar_items(rows: list[list[int]], share: float, seed: int) -> None:
    table = _neighbours()
    for row, out in zip(rows, _changed(rows, "substitute", share, seed), strict=True):
        assert len(out) == len(row)
        pairs = [(a, b) for a, b in zip(row, out, strict=True) if a != b]
        assert len(pairs) <= _touched(len(row), share, left=0)
        assert all(b in table[a] for a, b in pairs)
        if row and 1 not in row:
            assert len(pairs) == _touched(len(row), share, left=0)


@given(sequences, seeds)
def test_off_is_the_identity(rows: list[list[int]], seed: int) -> None:
    batch = _batch(rows)
    rng = np.random.default_rng(seed)
    assert np.array_equal(augment(batch, Augment(), rng, _neighbours()), batch)
    on = Augment(substitute=1.0)
    assert np.array_equal(augment(batch, on, rng), batch), "nothing to substitute with"


@given(sequences, shares, seeds)
def test_all_at_once_keeps_to_known_items(rows: list[list[int]], share: float, seed: int) -> None:
    settings = Augment(crop=0.5, mask=0.5, reorder=0.5, substitute=0.5, share=share)
    out = _rows(augment(_batch(rows), settings, np.random.default_rng(seed), _neighbours()))
    for row, mine in zip(rows, out, strict=True):
        assert bool(mine) == bool(row)
        assert {item % 100 for item in mine} <= set(row)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_probability_is_per_sequence(name: str) -> None:
    batch = np.tile(np.arange(3, 15, dtype=np.int32), (4000, 1))
    settings = Augment.model_validate({name: 0.25, "share": 0.5})
    out = augment(batch, settings, np.random.default_rng(0), _neighbours())
    assert 0.2 < (out != batch).any(axis=1).mean() < 0.3
