"""Tables say what is wrong with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.triton.tiny import BUCKETS, CANDIDATES, ITEMS


@pytest.fixture
def folder(tables_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tables_folder, tmp_path / "tables")


def test_lengths_and_numbers(tables: Any) -> None:
    assert tables.items == ITEMS
    assert tables.item_vectors is None
    assert tables.candidate_buckets == tuple(BUCKETS[1:])


@pytest.mark.parametrize(
    ("given", "width"), [(0, CANDIDATES), (20, 20), (21, 30), (31, 60), (61, 61)]
)
def test_own_candidates_are_padded_to_the_next_bucket(tables: Any, given: int, width: int) -> None:
    assert tables.width_for(given) == width


def test_missing_file(features: ModuleType, folder: Path) -> None:
    (folder / "recency.npy").unlink()
    with pytest.raises(ValueError, match=r"recency\.npy cannot be read"):
        features.Tables.load(folder)


def test_damaged_json(features: ModuleType, folder: Path) -> None:
    (folder / "lengths.json").write_text("{")
    with pytest.raises(ValueError, match=r"lengths\.json cannot be read"):
        features.Tables.load(folder)


def test_pickled_array_is_refused(features: ModuleType, folder: Path) -> None:
    np.save(folder / "factors.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"factors\.npy cannot be read"):
        features.Tables.load(folder)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("popular", np.zeros(3, np.int64), "expected int32 with 1 axes, found int64"),
        ("factors", np.zeros(3, np.float32), "expected float32 with 2 axes"),
        ("factors", np.zeros((3, 2), np.float32), "factors has 3 rows, expected items"),
        ("neighbour_weight", np.zeros((ITEMS + 1, 2), np.float32), "differ in shape"),
        ("factors", np.ones((ITEMS + 1, 2), np.float32), "row 0 of factors"),
        ("item_vectors", np.ones((ITEMS, 2), np.float32), "item_vectors has 50 rows"),
        ("item_vectors", np.ones((ITEMS + 1, 2)), "expected float32 with 2 axes"),
    ],
)
def test_arrays_that_do_not_fit(
    features: ModuleType, folder: Path, name: str, array: Any, words: str
) -> None:
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(ValueError, match=words):
        features.Tables.load(folder)


def test_ids_that_do_not_fit(features: ModuleType, folder: Path) -> None:
    (folder / "item_ids.json").write_text(json.dumps(["", "a"]))
    with pytest.raises(ValueError, match="item_ids has 2 rows"):
        features.Tables.load(folder)


def test_lengths_beyond_what_fits(features: ModuleType, folder: Path) -> None:
    lengths = json.loads((folder / "lengths.json").read_text())
    (folder / "lengths.json").write_text(json.dumps(lengths | {"candidates": 200_000}))
    with pytest.raises(ValueError, match="lower one of them"):
        features.Tables.load(folder)


def test_no_items(features: ModuleType, tmp_path: Path, folder: Path) -> None:
    for path in folder.glob("*.npy"):
        array = np.load(path)
        np.save(path, array[: 0 if path.stem == "popular" else 1])
    (folder / "item_ids.json").write_text('[""]')
    lengths = json.loads((folder / "lengths.json").read_text())
    (folder / "lengths.json").write_text(json.dumps(lengths | {"items": 0}))
    with pytest.raises(ValueError, match="found 0"):
        features.Tables.load(folder)
