"""Queries of the held-out window, against the chain's rules in plain Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders.dataset.dataset import Dataset
from builders.retrain.recorded import read_recorded
from builders.retrain.window import Window
from ensembles.step_code import load_step
from tests.triton import oracle
from tests.triton.tiny import Tiny, make_release
from tests.unit.retrain.exported import Event, export, settings_of
from tests.unit.retrain.tiny_log import CUT, dataset_of, later

SETTINGS = settings_of()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_release(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def dataset(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset_of(tiny, tmp_path_factory.mktemp("log") / "log")


def window(dataset: Dataset, folder: Path, events: list[Event]) -> Window:
    return Window.of(dataset, read_recorded(export(folder, events), SETTINGS), CUT)


def expected(tiny: Tiny, events: list[Event]) -> dict[tuple[str, str], float]:
    """NDCG@10 of the first event of a user with an item, one request at a time."""
    version = tiny.repository / "features" / "1"
    tables = load_step(version).Tables.load(version / "tables")
    done: dict[str, list[str]] = {}
    found = {}
    for user, item, _, _ in events:
        before = done.setdefault(user, [])
        known = [tiny.item_ids[n] for n in tiny.users.get(user, [])]
        if item not in before and item not in known:
            answer, _ = oracle.recommend(tiny, tables, user, 10, recent=before)
            place = answer.index(item) if item in answer else None
            found[user, item] = 0.0 if place is None else 1 / np.log2(place + 2)
        before.append(item)
    return found


def test_every_query_is_answered_as_in_serving(
    tiny: Tiny, dataset: Dataset, tmp_path: Path
) -> None:
    events = later(tiny, users=8, events=6)
    found = window(dataset, tmp_path, events)
    want = expected(tiny, events)
    got = found.gains(tiny.repository, 1, SETTINGS)
    assert len(got) == len(want) > 20
    assert sorted(got) == pytest.approx(sorted(want.values()), abs=1e-6)
    assert 0 < np.count_nonzero(got) < len(got)
    totals = [sum(v for (u, _), v in want.items() if u == user) for user in {u for u, _ in want}]
    assert sorted(np.bincount(found.user, got)) == pytest.approx(sorted(totals), abs=1e-6)


def test_an_item_that_the_release_does_not_have_is_a_miss_and_no_history(
    tiny: Tiny, dataset: Dataset, tmp_path: Path
) -> None:
    item = next(i for i in tiny.item_ids[1:] if tiny.item_ids.index(i) not in tiny.users["user-1"])
    alone = [("user-1", item, "view", CUT + 9)]
    both = [("user-1", "brand new", "view", CUT + 5), *alone]
    (without,) = window(dataset, tmp_path / "a", alone).gains(tiny.repository, 1, SETTINGS)
    got = window(dataset, tmp_path / "b", both).gains(tiny.repository, 1, SETTINGS)
    assert got.tolist() == [0, without]


def test_what_a_user_has_seen_is_not_asked_for(
    tiny: Tiny, dataset: Dataset, tmp_path: Path
) -> None:
    known = tiny.item_ids[tiny.users["user-2"][0]]
    events = [("user-2", known, "view", CUT + 1), ("stranger", "x", "view", CUT + 1)]
    events += [("stranger", "x", "buy", CUT + 2)]
    found = window(dataset, tmp_path, events)
    assert len(found.query) == 1
    assert found.item_ids[found.item[found.query[0]]] == "x"


def test_a_window_that_asks_for_nothing(tiny: Tiny, dataset: Dataset, tmp_path: Path) -> None:
    known = tiny.item_ids[tiny.users["user-2"][0]]
    found = window(dataset, tmp_path, [("user-2", known, "view", CUT + 1)])
    assert found.gains(tiny.repository, 1, SETTINGS).shape == (0,)


def test_events_before_the_cut_and_of_no_weight_are_not_asked_for(
    dataset: Dataset, tmp_path: Path
) -> None:
    events = [("user-1", "a", "view", CUT), ("user-1", "b", "skip", CUT + 1)]
    events += [("user-1", "c", "like", CUT + 2)]
    found = window(dataset, tmp_path, events)
    assert [found.item_ids[n] for n in found.item[found.query]] == ["c"]
