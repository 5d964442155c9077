"""The data set itself: ids, histories, files, and the real data where it is at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from builders.dataset import catalogue
from builders.dataset.build import build_dataset
from builders.dataset.catalogue import natural_order, number_ids, read_catalogue
from builders.dataset.dataset import Dataset
from builders.settings import Settings
from ensembles.errors import DataError
from tests.real_data import real_data
from tests.unit.dataset.conftest import LOOSE, block, settings_for, silent

ROOT = Path(__file__).parents[3]
PRESETS = ROOT / "builders" / "presets"


def test_natural_order() -> None:
    assert natural_order(["b", "10", "a", "2", "02", "-1"]) == ["02", "2", "10", "-1", "a", "b"]


def test_number_ids() -> None:
    ids, number = number_ids(pa.chunked_array([["10", "2"], ["2", "x"]]))
    assert ids == ["2", "10", "x"]
    assert number.tolist() == [1, 0, 0, 2]


def test_the_most_common_categories_are_kept(
    tmp_path: Path, write_csv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "MAX_CATEGORIES", 2)
    rows = [(*row, kinds) for row, kinds in zip(block(1, 3), ["z|a", "z|b", "z|b|b"], strict=True)]
    path = write_csv(rows, header="user_id,item_id,timestamp,kinds")
    settings = settings_for(path, clean=LOOSE, columns={"categories": "kinds"})
    dataset = build_dataset(settings, tmp_path / "out", silent)
    assert dataset.category_names == ["b", "z"]
    assert dataset.categories.tolist() == [[0, 0], [0, 1], [1, 1], [1, 1]]


def test_without_a_catalogue_titles_are_ids() -> None:
    found = read_catalogue(None, ["", "x", "y"], "|")
    assert found.titles == ["", "x", "y"]
    assert found.texts == ["", "", ""]
    assert found.categories.shape == (3, 0)


def test_histories_end_before_their_target(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    dataset = build_dataset(
        settings_for(write_csv(block(2, 6)), clean=LOOSE), tmp_path / "out", silent
    )
    users, target = dataset.targets("validation")
    assert target.tolist() == [5, 5]
    assert dataset.histories("validation", users, 5).tolist() == [[0, 1, 2, 3, 4]] * 2
    users, target = dataset.targets("test")
    assert target.tolist() == [6, 6]
    assert dataset.histories("test", users, 3).tolist() == [[3, 4, 5]] * 2
    assert dataset.seen("test", 0).tolist() == [1, 2, 3, 4, 5]
    assert dataset.train_history(1).tolist() == [1, 2, 3, 4]


def test_saved_and_loaded_and_built_again(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    settings = settings_for(write_csv(block()), clean=LOOSE)
    lines: list[str] = []
    built = build_dataset(settings, tmp_path / "a", lines.append)
    build_dataset(settings, tmp_path / "b", silent)
    loaded = Dataset.load(tmp_path / "a")
    for name, value in vars(built).items():
        assert np.array_equal(value, getattr(loaded, name)), name
    for path in (tmp_path / "a").iterdir():
        if path.suffix != ".parquet":
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert "missing id: 0 rows" in lines
    assert lines[-1].startswith("16 rows in = 16 kept + 0 rejected; 4 users, 4 items, 8 training")


def test_a_damaged_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no readable dataset"):
        Dataset.load(tmp_path)


def test_an_output_folder_that_cannot_be_made(
    tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    path = write_csv(block())
    with pytest.raises(DataError, match="cannot create the folder"):
        build_dataset(settings_for(path, clean=LOOSE), path / "out", silent)


def test_beauty_loses_no_row(tmp_path: Path) -> None:
    settings = Settings.load(PRESETS / "beauty.toml", data=str(real_data("beauty")))
    dataset = build_dataset(settings, tmp_path, silent)
    assert (dataset.users, dataset.items, len(dataset.item)) == (22_363, 12_101, 198_502)
    assert dataset.item_ids[:4] == ["", "1", "2", "3"]


def test_movielens_latest_small(tmp_path: Path) -> None:
    dataset = build_dataset(
        settings_for(real_data("movielens-latest-small"), "movielens"), tmp_path, silent
    )
    assert (dataset.users, dataset.items, len(dataset.item)) == (610, 3_650, 90_274)
    assert dataset.titles[1] == "Toy Story (1995)"
    assert "Film-Noir" in dataset.category_names
