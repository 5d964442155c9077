"""Item statistics by hand, and blind to every event that is held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builders.dataset.build import build_dataset
from builders.dataset.dataset import Dataset
from builders.dataset.features import ItemStatistics, item_statistics
from builders.settings import Features
from ensembles.errors import DataError
from tests.unit.dataset.conftest import LOOSE, settings_for, silent

DAY = 86_400
DECAY = Features(popularity_half_life_days=2.0)


def _same(a: ItemStatistics, b: ItemStatistics) -> bool:
    return all(
        np.array_equal(getattr(a, field.name), getattr(b, field.name))
        for field in dataclasses.fields(ItemStatistics)
    )


@pytest.fixture
def dataset(tmp_path: Path, write_csv: Callable[..., Path]) -> Dataset:
    rng = np.random.default_rng(3)
    rows = [
        (f"u{user}", f"i{rng.integers(12)}", int(rng.integers(30 * DAY)))
        for user in range(20)
        for _ in range(8)
    ]
    settings = settings_for(write_csv(rows), clean=LOOSE)
    return build_dataset(settings, tmp_path / "out", silent)


def test_by_hand(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    # Training of u: a at day 0, a at day 2, b at day 4; the last two events are held out.
    rows = [("u", item, day * DAY) for item, day in zip("aabcd", (0, 2, 4, 5, 6), strict=True)]
    built = build_dataset(settings_for(write_csv(rows), clean=LOOSE), tmp_path / "out", silent)
    statistics = item_statistics(built, DECAY)
    weight = np.array([0, 0.25 + 0.5, 1, 0, 0])
    expected = np.log1p(weight) / np.log1p(1)
    np.testing.assert_allclose(statistics.popularity, expected, rtol=1e-6)
    np.testing.assert_allclose(statistics.recency, [0, 2 / 3, 1, 0, 0], rtol=1e-6)
    assert statistics.popular.tolist() == [2, 1, 3, 4]
    plain = item_statistics(built, Features())
    assert plain.popular.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("features", [Features(), DECAY])
def test_held_out_events_change_nothing(dataset: Dataset, features: Features) -> None:
    held = ~dataset.train_mask()
    item, timestamp = dataset.item.copy(), dataset.timestamp.copy()
    weight = dataset.weight.copy()
    item[held] = 1 + (item[held] + 5) % dataset.items
    timestamp[held] += 1000 * DAY
    weight[held] = 99
    changed = dataclasses.replace(dataset, item=item, timestamp=timestamp, weight=weight)
    assert _same(item_statistics(dataset, features), item_statistics(changed, features))


def test_a_held_out_row_of_the_log_changes_nothing(
    tmp_path: Path, write_csv: Callable[..., Path]
) -> None:
    """The same through the whole build: last and last but one event of each user replaced."""

    def statistics(last: list[str], name: str) -> tuple[list[str], ItemStatistics]:
        rows = [(f"u{u}", f"i{(u + n) % 9}", n * DAY) for u in range(9) for n in range(7)]
        rows += [(f"u{u}", i, (8 + n) * DAY) for u in range(9) for n, i in enumerate(last)]
        settings = settings_for(write_csv(rows, name=name), clean=LOOSE)
        built = build_dataset(settings, tmp_path / name.removesuffix(".csv"), silent)
        return built.item_ids, item_statistics(built, DECAY)

    ids, before = statistics(["i0", "i1"], "a.csv")
    other_ids, after = statistics(["i8", "i2"], "b.csv")
    assert ids == other_ids
    assert _same(before, after)


def test_ranges(dataset: Dataset) -> None:
    statistics = item_statistics(dataset, DECAY)
    for values in (statistics.popularity, statistics.recency):
        assert values.dtype == np.float32
        assert values.shape == (dataset.items + 1,)
        assert values[0] == 0
        assert values.max() == 1
        assert values.min() >= 0
    assert sorted(statistics.popular) == list(range(1, dataset.items + 1))


def test_held_out_or_no_events_are_refused(dataset: Dataset) -> None:
    size = len(dataset.item)
    for mask in (np.ones(size, bool), np.zeros(size, bool)):
        with pytest.raises(DataError, match="need training events"):
            item_statistics(dataset, DECAY, mask)
