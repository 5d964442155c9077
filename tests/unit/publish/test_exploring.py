"""The items that a release explores, and how the tables of a build say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders.dataset.dataset import Dataset
from builders.publish.exploring import Explore, least_known
from builders.publish.release import SOURCE
from ensembles.step_code import load_step
from tests.triton.tiny import make_tables


@pytest.fixture
def dataset() -> Dataset:
    """Items 1 to 6; of 3 and 5 there is no event to learn from."""
    none = np.zeros(0, np.int64)
    return Dataset(
        user_ids=["ann", "bob"],
        item_ids=["", *"abcdef"],
        titles=["", *"abcdef"],
        texts=[""] * 7,
        category_names=[],
        categories=np.zeros((7, 0), np.uint8),
        offsets=np.array([0, 5, 8]),
        item=np.array([1, 2, 4, 1, 5, 2, 1, 6], np.int32),
        timestamp=np.arange(8),
        weight=np.ones(8, np.float32),
        train_end=np.array([4, 8]),
        validation=np.array([-1, -1]),
        test=np.array([4, -1]),
        user_attributes={},
        cold=np.zeros(7, np.bool_),
        cold_user=none,
        cold_item=none.astype(np.int32),
        cold_end=none,
    )


def test_the_least_known_come_first(dataset: Dataset) -> None:
    assert least_known(dataset, 100).tolist() == [3, 5, 4, 6, 2, 1]
    assert least_known(dataset, 3).tolist() == [3, 5, 4]
    assert least_known(dataset, 3).dtype == np.int32


def test_nothing_is_written_where_nothing_is_explored(dataset: Dataset, tmp_path: Path) -> None:
    Explore().write(dataset, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_features_step_reads_what_is_written(dataset: Dataset, tmp_path: Path) -> None:
    make_tables(tmp_path / "tables")
    tables = load_step(SOURCE / "features" / "1").Tables
    assert tables.load(tmp_path / "tables").explore is None
    Explore(share=0.1, pool=4, candidates=8).write(dataset, tmp_path / "tables")
    found = tables.load(tmp_path / "tables").explore
    assert (found.share, found.places, found.pool.tolist()) == (0.1, 4, [3, 5, 4, 6])
