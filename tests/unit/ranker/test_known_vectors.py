"""What is known of items: read, checked, and scaled."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.ranker.known_vectors import known_vectors, read_visual_vectors
from ensembles.errors import BuildError
from tests.unit.ranker.tiny_log import ITEMS, circle, settings_of


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((4, 2), np.float32),
        np.zeros((5, 2), np.float64),
        np.zeros(5, np.float32),
        np.ones((5, 2), np.float32),
        np.full((5, 2), np.nan, np.float32) * np.arange(5, dtype=np.float32)[:, None],
    ],
    ids=["rows", "type", "axes", "row 0", "not finite"],
)
def test_visual_vectors_of_something_else(tmp_path: Path, rows: np.ndarray) -> None:  # type: ignore[type-arg]
    np.save(tmp_path / "v.npy", rows)
    with pytest.raises(BuildError, match=r"expected finite float32 \[5, V\]"):
        read_visual_vectors(tmp_path / "v.npy", 4)


def test_visual_vectors_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "v.npy").write_bytes(b"nothing")
    with pytest.raises(BuildError, match=re.escape("cannot be read")):
        read_visual_vectors(tmp_path / "v.npy", 4)


def test_texts_are_fused_as_unit_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(ITEMS + 1, 12)).astype(np.float32)
    rows[[0, 3]] = 0
    monkeypatch.setattr("builders.ranker.known_vectors.text_vectors", lambda _: rows)
    settings = settings_of(ranker={"fuse": ("text",)})
    found = known_vectors(circle(), settings, None)
    length = found["text"].norm(dim=1)
    assert length[[0, 3]].tolist() == [0, 0]
    torch.testing.assert_close(length[4:], torch.ones(ITEMS - 3))
