"""Tables that the feature step opens, made of the chosen events and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from builders.dataset.dataset import Dataset
from builders.retrieval.catalogue_features import pack_catalogue
from builders.retrieval.feature_step import open_feature_step
from builders.retrieval.recall import recall_table
from builders.retrieval.tables import unit_rows, write_tables
from ensembles.contracts import HEAD_FEATURES
from ensembles.errors import BuildError
from tests.unit.ranker.tiny_log import ITEMS, circle, settings_of


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_lengths_and_shapes(tmp_path: Path) -> None:
    dataset = circle()
    settings = settings_of(retrieval={"decay": 0.5, "recent": 20})
    factors = write_tables(dataset, settings, dataset.train_mask(), tmp_path / "tables")
    folder = tmp_path / "tables"
    assert json.loads((folder / "lengths.json").read_text()) == {
        "history": 8,
        "candidates": 10,
        "recent": 8,
        "items": ITEMS,
        "candidate_buckets": [1000, 5000],
        "decay": 0.5,
    }
    assert json.loads((folder / "item_ids.json").read_text()) == dataset.item_ids
    arrays = {p.stem: np.load(p, allow_pickle=False) for p in folder.glob("*.npy")}
    shapes = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    assert shapes == {
        "popular": ("int32", (ITEMS,)),
        "popularity": ("float32", (ITEMS + 1,)),
        "recency": ("float32", (ITEMS + 1,)),
        "neighbour_item": ("int32", (ITEMS + 1, 5)),
        "neighbour_weight": ("float32", (ITEMS + 1, 5)),
        "factors": ("float32", (ITEMS + 1, 4)),
        "categories": ("float32", (ITEMS + 1, 2)),
    }
    np.testing.assert_allclose(np.linalg.norm(arrays["factors"][1:], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(arrays["factors"], unit_rows(factors.item))
    open_feature_step(folder)


def test_buckets_are_above_the_candidates(tmp_path: Path) -> None:
    dataset = circle()
    settings = settings_of(retrieval={"candidates": 2000})
    write_tables(dataset, settings, dataset.train_mask(), tmp_path)
    assert json.loads((tmp_path / "lengths.json").read_text())["candidate_buckets"] == [5000]


def test_only_chosen_events_count(tmp_path: Path) -> None:
    dataset = circle()
    rng = np.random.default_rng(1)
    some = dataset.train_mask() & (np.arange(len(dataset.item)) % 3 > 0)
    for name, mask in (("all", dataset.train_mask()), ("some", some)):
        other = dataset.item.copy()
        other[~mask] = rng.integers(1, ITEMS + 1, int((~mask).sum()))
        changed = Dataset(**{**vars(dataset), "item": other})
        write_tables(dataset, settings_of(), mask, tmp_path / name / "a")
        write_tables(changed, settings_of(), mask, tmp_path / name / "b")
        assert _content(tmp_path / name / "a") == _content(tmp_path / name / "b")
    assert _content(tmp_path / "all" / "a") != _content(tmp_path / "some" / "a")


def test_whole_catalogue_features_are_those_of_the_step(tmp_path: Path) -> None:
    dataset = circle(longest=20)
    write_tables(dataset, settings_of(), dataset.train_mask(), tmp_path)
    step = open_feature_step(tmp_path)
    users, _ = dataset.targets("test")
    history = dataset.histories("test", users, 8)
    history[0] = 0
    everything = np.tile(np.arange(ITEMS + 1, dtype=np.int32), (len(history), 1))
    expected = step.pack(history, everything)[..., :HEAD_FEATURES]
    np.testing.assert_allclose(pack_catalogue(step, history), expected, atol=1e-6)


def test_recall(tmp_path: Path) -> None:
    dataset = circle()
    write_tables(dataset, settings_of(), dataset.train_mask(), tmp_path)
    step = open_feature_step(tmp_path)
    found = recall_table(dataset, step, 8, counts=(1, 5, ITEMS))
    users, target = dataset.targets("validation")
    for count, share in found.items():
        hits = 0
        for user, item in zip(users, target, strict=True):
            seen = dataset.seen("validation", user)[None]
            events = dataset.histories("validation", np.array([user]), 8)
            hits += item in step.retrieve(events, seen, count)[0]
        assert share == hits / len(users)
    assert found[1] <= found[5] <= found[ITEMS] == 1


def test_recall_without_targets(tmp_path: Path) -> None:
    dataset = circle()
    write_tables(dataset, settings_of(), dataset.train_mask(), tmp_path)
    empty = Dataset(**{**vars(dataset), "validation": np.full(dataset.users, -1)})
    with pytest.raises(BuildError, match="needs validation events"):
        recall_table(empty, open_feature_step(tmp_path), 8)


def test_missing_and_contradicting_tables(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="feature tables cannot be used"):
        open_feature_step(tmp_path)


def test_unit_rows_leave_zero_rows() -> None:
    rows = np.array([[3, 4], [0, 0], [0, -2]], np.float32)
    expected = np.array([[0.6, 0.8], [0, 0], [0, -1]])
    np.testing.assert_allclose(unit_rows(rows), expected, rtol=1e-6)
