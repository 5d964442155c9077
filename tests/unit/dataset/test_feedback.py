"""Recorded events join the log: by the same rules, with weights of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from builders.dataset.build import REJECTS, build_dataset, source_files
from builders.dataset.dataset import Dataset
from ensembles.errors import DataError
from tests.unit.dataset.conftest import LOOSE, block, events, settings_for, silent
from tests.unit.retrain.exported import export

Write = Callable[..., Path]


def build(log: Path, out: Path, **sections: Any) -> Dataset:
    feedback = out.parent / "recorded" / "events-1.parquet"
    data = {"feedback": str(feedback), **sections.pop("data", {})}
    settings = settings_for(
        log, data=data, clean={**LOOSE, **sections.pop("clean", {})}, **sections
    )
    assert source_files(settings)[-1] == feedback
    return build_dataset(settings, out, silent)


def test_they_follow_the_log(tmp_path: Path, write_csv: Write) -> None:
    new = [("u0", "i1", "buy", 5000), ("new", "i9", "view", 4000)]
    export(tmp_path / "recorded", new)
    found = build(write_csv(block()), tmp_path / "out")
    kept = events(found)
    assert set(kept) == {*block(), ("u0", "i1", 5000), ("new", "i9", 4000)}
    assert kept[:1] + kept[5:6] == [("new", "i9", 4000), ("u0", "i1", 5000)]
    assert set(found.weight.tolist()) == {1.0}


def test_every_rule_but_those_on_values_holds_for_them(tmp_path: Path, write_csv: Write) -> None:
    rated = [(*row, 3) for row in block()]
    new = [
        ("u0", "i0", "view", 5000),
        ("u0", "i0", "view", 5000),
        ("u0", "i0", "dislike", 5001),
        ("u0", "", "view", 5002),
        ("u0", "once", "view", 5003),
        ("u0", "i0", "view", 9_999_999_999),
    ]
    export(tmp_path / "recorded", new)
    clean = {"value_min": 1, "value_max": 5, "min_item_events": 2}
    log = write_csv([*rated, ("u0", "i0", 6, 9)], header="user_id,item_id,timestamp,value")
    found = build(log, tmp_path / "out", columns={"value": "value"}, clean=clean)
    assert len(found.item) == len(rated) + 1
    rejects = pq.read_table(tmp_path / "out" / REJECTS)
    assert Counter(rejects["reason"].to_pylist()) == Counter(
        [
            "value out of range",
            "exact duplicate",
            "unknown event type",
            "missing id",
            "item with fewer than 2 events",
            "future timestamp",
        ]
    )
    rows = dict(zip(rejects["reason"].to_pylist(), rejects["row"].to_pylist(), strict=True))
    assert rows["value out of range"] == len(rated)
    assert rows["unknown event type"] == len(rated) + 1 + 2  # after the rows of the log


def test_the_weights_are_those_of_the_log(tmp_path: Path, write_csv: Write) -> None:
    export(tmp_path / "recorded", [("u0", "i1", "bought", 5000), ("u0", "i1", "view", 5001)])
    log = write_csv([(*row, "rated") for row in block()], header="user_id,item_id,timestamp,kind")
    data = {"event_weights": {"rated": 1.0, "bought": 3.0}}
    found = build(log, tmp_path / "out", data=data, columns={"event": "kind"})
    assert Counter(found.weight.tolist()) == {1.0: 16, 3.0: 1}


def test_without_any_the_log_is_as_before(tmp_path: Path, write_csv: Write) -> None:
    log = write_csv(block())
    export(tmp_path / "recorded", [("u0", "i1", "dislike", 5000)])
    found = build(log, tmp_path / "out")
    before = build_dataset(settings_for(log, clean=LOOSE), tmp_path / "before", silent)
    np.testing.assert_array_equal(found.item, before.item)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, write_csv: Write) -> None:
    with pytest.raises(DataError, match="nowhere.parquet does not exist .*'millirank retrain'"):
        source_files(settings_for(write_csv(block()), data={"feedback": "nowhere.parquet"}))
