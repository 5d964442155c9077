"""Splits against a plain reading of their definitions, and no leak into training."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.dataset.build import build_dataset
from builders.dataset.settings import Split
from builders.dataset.split import global_time, leave_one_out, split_events
from ensembles.errors import DataError
from tests.unit.dataset.conftest import LOOSE, settings_for, silent


def _offsets(sizes: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_leave_one_out(sizes: list[int]) -> None:
    offsets = _offsets(sizes)
    parts = leave_one_out(offsets)
    for user, size in enumerate(sizes):
        end = offsets[user + 1]
        held = (end - 2, end - 2, end - 1) if size >= 3 else (end, -1, -1)
        assert (parts.train_end[user], parts.validation[user], parts.test[user]) == held


@given(
    users=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=8), min_size=2, max_size=12)
)
def test_global_time(users: list[list[int]]) -> None:
    histories = [sorted(times) for times in users]
    everything = sorted(itertools.chain(*histories))
    t_validation = everything[int(len(everything) * (1 - (0.1 + 0.2)))]
    t_test = everything[int(len(everything) * (1 - 0.2))]
    offsets = _offsets([len(times) for times in histories])
    timestamp = np.array(list(itertools.chain(*histories)), np.int64)
    parts = global_time(offsets, timestamp, 0.1, 0.2)
    for user, times in enumerate(histories):
        start = int(offsets[user])
        train = [n for n, time in enumerate(times, start) if time < t_validation]
        between = [n for n, time in enumerate(times, start) if t_validation <= time < t_test]
        last = [n for n, time in enumerate(times, start) if time >= t_test]
        assert list(range(start, parts.train_end[user])) == train
        assert parts.validation[user] == (between[0] if between else -1)
        assert parts.test[user] == (last[0] if last else -1)


def test_global_time_through_the_build(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    rows = [(f"u{n % 10}", f"i{n // 10}", n) for n in range(100)]
    split = {"kind": "global_time", "validation_share": 0.2, "test_share": 0.1}
    settings = settings_for(write_csv(rows), clean=LOOSE, split=split)
    dataset = build_dataset(settings, tmp_path / "out", silent)
    assert sorted(dataset.timestamp[dataset.train_mask()]) == list(range(70))
    assert sorted(dataset.timestamp[dataset.validation]) == list(range(70, 80))
    assert sorted(dataset.timestamp[dataset.test]) == list(range(90, 100))
    assert dataset.items == 10, "items of the held-out days stay in the vocabulary"
    late = dataset.histories("test", np.arange(10), 3)
    assert (late == [7, 8, 9]).all(), "a test history holds what came before, held out or not"


@pytest.mark.parametrize(
    ("kind", "sizes", "times", "missing"),
    [
        ("leave_one_out", [2, 2], [1, 2, 3, 4], "validation, test"),
        ("global_time", [2, 2], [7, 7, 7, 7], "training, validation"),
    ],
)
def test_a_part_with_nothing_in_it(
    kind: str, sizes: list[int], times: list[int], missing: str
) -> None:
    settings = Split.model_validate({"kind": kind})
    with pytest.raises(DataError, match=f"leaves nothing for {missing}"):
        split_events(settings, _offsets(sizes), np.array(times, np.int64))
