"""Projection, gate and sample of the image encoder, each alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from builders.visual.gate import neighbour_ndcg
from builders.visual.projection import principal_components
from builders.visual.sample import Sample
from tests.unit.visual.small_encoder import SIZE


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_the_plane_that_points_lie_in() -> None:
    """Points of a plane in ten dimensions, off the origin: two axes keep all, and distances."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(10, 2)))
    flat = rng.normal(size=(50, 2)) * [3, 1]
    features = (flat @ basis.T + 7).astype(np.float32)
    found = principal_components(features, 2)
    assert found.kept == pytest.approx(1)
    projected = (features - found.centre) @ found.axes
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-5)
    assert projected[:, 0].var() > projected[:, 1].var()
    np.testing.assert_allclose(
        np.linalg.norm(projected[:, None] - projected, axis=-1),
        np.linalg.norm(flat[:, None] - flat, axis=-1),
        atol=1e-4,
    )
    one = principal_components(features, 1)
    assert one.kept == pytest.approx(projected[:, 0].var() / projected.var(axis=0).sum(), abs=1e-5)


@given(st.integers(1, 12), st.integers(2, 9), st.integers(2, 14), st.integers(0, 3))
def test_axes_are_orthonormal_however_few_pictures(
    count: int, features: int, width: int, seed: int
) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)
    found = principal_components(rows, width)
    assert found.axes.shape == (features, width)
    expected = np.diag((np.arange(width) < features).astype(float))
    np.testing.assert_allclose(found.axes.T @ found.axes, expected, atol=1e-5)
    assert 0 <= found.kept <= 1 + 1e-9


@pytest.mark.parametrize("count", [1, 5])
def test_pictures_that_are_all_alike_keep_a_vector(count: int) -> None:
    rows = np.tile(np.array([[3.0, 0.1, 4.0]], np.float32), (count, 1))
    found = principal_components(rows, 3)
    assert np.linalg.norm((rows[0] - found.centre) @ found.axes) == pytest.approx(5, abs=0.01)


def test_the_same_neighbours_are_perfect() -> None:
    vectors = _unit(np.random.default_rng(1).normal(size=(30, 6)))
    np.testing.assert_allclose(neighbour_ndcg(vectors, vectors), 1)


def test_neighbours_by_hand() -> None:
    """Three pictures in a plane: for the first the order of the others is turned round."""
    angles = np.deg2rad([[0, 30, 60], [0, 60, 30]])
    before, after = (_unit(np.stack([np.cos(a), np.sin(a)], axis=1)) for a in angles)
    near, far, second = np.cos(np.pi / 6), np.cos(np.pi / 3), 1 / np.log2(3)
    expected = (far + near * second) / (near + far * second)
    found = neighbour_ndcg(before, after)
    assert found[0] == pytest.approx(expected)
    assert found[1] == pytest.approx(1), "both others are as near"


@given(st.integers(1, 25), st.integers(0, 5))
def test_any_order_lies_between_0_and_1(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = (_unit(rng.normal(size=(count, 4))) for _ in range(2))
    found = neighbour_ndcg(before, after)
    assert found.shape == (count,)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    opposite = _unit(np.array([[1.0, 0], [-1.0, 0]]))
    np.testing.assert_array_equal(neighbour_ndcg(opposite, opposite), 1)


class _Blank:
    """A preprocess step whose every picture is black."""

    size = SIZE

    def pixels(self, images: object) -> list[NDArray[np.float32]]:
        return [np.zeros((3, SIZE, SIZE), np.float32) for _ in images]  # type: ignore[attr-defined]

    def close(self) -> None:
        pass


def test_progress_of_a_long_pass(tmp_path: Path) -> None:
    file, said = tmp_path / "picture", list[str]()
    file.write_bytes(b"x")
    sample = Sample(_Blank(), [None, *[file] * 100], said.append)  # type: ignore[arg-type]
    clock = iter([0.0, 2.0, 6.0, 6.0, 7.0, 12.0, 12.0])
    numbers = [
        n for batch, _ in sample.watched("encoding", said.append, clock.__next__) for n in batch
    ]
    assert numbers == list(range(1, 101))
    assert said == ["encoding: 64 of 100 pictures", "encoding: 100 of 100 pictures"]
    assert len(sample) == 100
    assert len(sample.some([3, 5, 900])) == 2
    assert sum(len(pixels) for pixels in sample.some([3, 5]).pixels()) == 2
