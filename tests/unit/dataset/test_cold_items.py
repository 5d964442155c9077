"""Items held out with all of their events, and items of the catalogue without any."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.dataset.build import build_dataset
from builders.dataset.cold import hold_out
from builders.dataset.dataset import Dataset
from builders.dataset.features import item_statistics
from builders.retrieval.feature_step import open_feature_step
from builders.retrieval.tables import write_tables
from builders.settings import Features
from ensembles.contracts import LIMITS
from tests.unit.dataset.conftest import LOOSE, block, events, settings_for, silent

LOGS = st.lists(st.lists(st.integers(1, 12), max_size=9), min_size=1, max_size=8).filter(any)


@given(log=LOGS, share=st.sampled_from([0.0, 0.1, 0.3, 0.5]))
def test_every_event_is_accounted_for(log: list[list[int]], share: float) -> None:
    user = np.repeat(np.arange(len(log)), [len(events) for events in log])
    item = np.array(list(itertools.chain(*log)), np.int32)
    held = hold_out(share, 15, user, item)
    drawn = set(np.flatnonzero(held.cold))
    assert len(drawn) == round(share * len(set(item)))
    assert drawn <= set(item)
    assert (held.kept == ~np.isin(item, list(drawn))).all()
    # Plainly: walk through each user's events, with what is kept of them as a history.
    kept_items = item[held.kept]
    expected, position = [], 0
    for number, mine in enumerate(log):
        begin = position
        for event in mine:
            if event not in drawn:
                assert kept_items[position] == event
                position += 1
            elif position > begin:
                expected.append((number, event, position))
    found = zip(held.cold_user, held.cold_item, held.cold_end, strict=True)
    assert [tuple(map(int, event)) for event in found] == expected


def _build(path: Path, out: Path, **sections: object) -> Dataset:
    return build_dataset(settings_for(path, clean=LOOSE, **sections), out, silent)


def test_a_log_with_held_out_items(write_csv: Callable[..., Path], tmp_path: Path) -> None:
    path = write_csv(block(users=6, items=10))
    lines: list[str] = []
    settings = settings_for(path, clean=LOOSE, split={"cold_items": 0.3})
    found = build_dataset(settings, tmp_path / "cold", lines.append)
    assert "60 rows in = 42 kept + 18 of 3 items held out + 0 rejected" in lines[-1]
    assert found.cold.sum() == 3
    assert not found.cold[found.item].any()
    assert found.cold[found.cold_item].all()
    kept = Counter((user, item) for user, item, _ in events(found))
    asked = Counter(
        (found.user_ids[u], found.item_ids[i])
        for u, i in zip(found.cold_user, found.cold_item, strict=True)
    )
    everything = Counter((user, item) for user, item, _ in block(users=6, items=10))
    # What is left over stands before its user's first kept event.
    first = {user: item for (user, item), _ in kept.items()}
    assert all(item < first[user] for user, item in everything - kept - asked)
    again = Dataset.load(tmp_path / "cold")
    assert (again.cold == found.cold).all()
    assert (again.cold_end == found.cold_end).all()


def test_the_draw_depends_on_the_items_only(write_csv: Callable[..., Path], tmp_path: Path) -> None:
    cold = {"cold_items": 0.3}
    runs = [
        _build(write_csv(block(users, 10), name=f"{users}.csv"), tmp_path / str(users), split=cold)
        for users in (4, 6)
    ]
    first, second = ({d.item_ids[i] for i in np.flatnonzero(d.cold)} for d in runs)
    assert first == second


def test_nothing_is_held_out_unless_asked_for(
    write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    found = _build(write_csv(block()), tmp_path / "out")
    assert not found.cold.any()
    assert len(found.cold) == found.items + 1
    assert len(found.cold_user) == len(found.cold_item) == len(found.cold_end) == 0
    assert len(events(found)) == 16


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A log of items i0 to i3, and a catalogue with more."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = ["user_id,item_id,timestamp", *(f"{u},{i},{t}" for u, i, t in block())]
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    names = ["i2", "a", "i10", "a", " ", "x" * (LIMITS.id_bytes + 1)]
    rows = ["item_id,name", *(f"{name},Title of {name}" for name in names)]
    (folder / "items.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_items_of_the_catalogue_get_a_number(listed: Path, tmp_path: Path) -> None:
    columns = {"title": "name"}
    without = _build(listed, tmp_path / "without", columns=columns)
    assert without.item_ids == ["", "i0", "i1", "i2", "i3"]
    found = _build(listed, tmp_path / "with", columns=columns, data={"catalogue_items": True})
    assert found.item_ids == ["", "a", "i0", "i1", "i10", "i2", "i3"]
    assert found.titles[1] == "Title of a"
    assert events(found) == events(without)


def test_without_a_catalogue_there_is_nothing_to_add(
    write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    found = _build(write_csv(block()), tmp_path / "out", data={"catalogue_items": True})
    assert found.items == 4


def test_new_items_have_no_statistics_and_come_last(listed: Path, tmp_path: Path) -> None:
    settings = settings_for(
        listed,
        clean=LOOSE,
        columns={"title": "name"},
        data={"catalogue_items": True},
        split={"cold_items": 0.25},
        retrieval={"candidates": 10, "factors": 2, "neighbours": 3},
        train={"threads": 1},
    )
    found = build_dataset(settings, tmp_path / "dataset", silent)
    new = np.bincount(found.item, minlength=found.items + 1) == 0
    new[0] = False
    assert new.sum() == 3
    assert new[found.cold].all()
    statistics = item_statistics(found, Features())
    assert not statistics.popularity[new].any()
    assert not statistics.recency[new].any()
    assert set(statistics.popular[-3:]) == set(np.flatnonzero(new))
    write_tables(found, settings, found.train_mask(), tmp_path / "tables")
    step = open_feature_step(tmp_path / "tables")
    assert not step.tables.neighbour_item[new].any()
    assert not np.isin(step.tables.neighbour_item, np.flatnonzero(new)).any()
    assert not step.tables.factors[new].any()
    history = found.before(np.arange(found.users), found.train_end, 50)
    candidate = step.retrieve(history, np.zeros((found.users, 1), np.int32), 10)
    assert (np.sort(candidate[:, 3:6]) == np.flatnonzero(new)).all()
