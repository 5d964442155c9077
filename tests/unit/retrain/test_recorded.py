"""What is read of exported events, and where they are cut."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.dataset.settings import Feedback
from builders.retrain.recorded import Recorded, read_recorded
from ensembles.errors import BuildError, DataError
from tests.unit.retrain.exported import export, settings_of

SETTINGS = settings_of()


def test_every_event_once_in_the_order_of_time(tmp_path: Path) -> None:
    export(tmp_path, [("u", "b", "click", 20), ("u", "a", "view", 10)])
    again = [("u", "c", "buy", 30), ("u", "b", "click", 20)]
    export(tmp_path, again, "events-2", event_id=["new", "events-1-0"], release=[1, None])
    export(tmp_path, [("u", "x", "shown", 5)], "impressions-1")
    found = read_recorded(tmp_path, SETTINGS)
    assert found.rows["item_id"].to_pylist() == ["a", "b", "c"]
    assert found.seconds.tolist() == [10, 20, 30]
    assert found.usable.all()
    assert found.newest == 30


def test_events_without_an_id_are_all_kept(tmp_path: Path) -> None:
    events = [("u", "a", "view", 10), ("u", "b", "view", 10)]
    export(tmp_path, events, event_id=["", None])
    assert len(read_recorded(tmp_path, SETTINGS)) == 2


def test_events_that_teach_nothing_are_there_and_not_usable(tmp_path: Path) -> None:
    events = [
        ("u", "a", "dislike", 10),
        ("u", "a", "stare", 11),
        ("", "a", "view", 12),
        ("u", "é" * 129, "view", 13),
        ("u", "a", "view", 2000),
        (" u ", "a", "view", 14),
    ]
    found = read_recorded(export(tmp_path, events), SETTINGS, now=1000)
    assert len(found) == 6
    assert found.rows.filter(pa.array(found.usable))["timestamp"].to_pylist() == ["14"]
    assert found.rows["user_id"].to_pylist().count("u") == 5
    assert found.newest == 14


def test_a_log_with_values_takes_events_without_one(tmp_path: Path) -> None:
    rated = settings_of(
        data={"columns": {"value": "rating"}}, clean={"value_min": 1, "value_max": 5}
    )
    assert read_recorded(export(tmp_path, [("u", "a", "view", 1)]), rated).usable.all()


def test_times_may_be_of_any_type(tmp_path: Path) -> None:
    time = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    export(tmp_path, [("u", "a", "view", 0)], timestamp=pa.array([time], pa.timestamp("us", "UTC")))
    assert read_recorded(tmp_path, SETTINGS).seconds.tolist() == [60]
    export(tmp_path, [("u", "a", "view", 0)], timestamp=[61.75])
    assert read_recorded(tmp_path, SETTINGS).seconds.tolist() == [61]


def test_events_of_one_second_stay_in_their_order(tmp_path: Path) -> None:
    events = [("u", "a", "view", 0), ("u", "b", "view", 0), ("u", "c", "view", 0)]
    export(tmp_path, events, "events-10", timestamp=[7.75, 7.5, 7.25])
    later = [("u", "z", "view", 7), ("u", "y", "view", 7)]
    export(tmp_path, later, "events-9", timestamp=[8.0, 8.0])
    export(tmp_path, [("u", "x", "view", 7)], "events-11", timestamp=[8.0])
    found = read_recorded(tmp_path, SETTINGS)
    assert "".join(found.rows["item_id"].to_pylist()) == "cbazyx"
    assert found.seconds.tolist() == [7, 7, 7, 8, 8, 8]


def test_impressions_among_the_events_are_none(tmp_path: Path) -> None:
    events = [("u", "a", "impression", 10), ("u", "a", "click", 11)]
    assert len(read_recorded(export(tmp_path, events), SETTINGS)) == 1


def test_an_empty_folder_has_no_events(tmp_path: Path) -> None:
    found = read_recorded(tmp_path, SETTINGS)
    assert len(found) == 0
    assert found.cut(0, SETTINGS.feedback) is None


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is no folder; give the one that"):
        read_recorded(tmp_path / "nowhere", SETTINGS)
    (tmp_path / "events.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_recorded(tmp_path, SETTINGS)
    pq.write_table(pa.table({"user_id": ["u"], "item": ["i"]}), tmp_path / "events.parquet")
    with pytest.raises(DataError, match="no column item_id, event, timestamp"):
        read_recorded(tmp_path, SETTINGS)


def of(seconds: list[int]) -> Recorded:
    array = np.array(seconds, np.int64)
    rows = pa.table({"user_id": [str(n) for n in range(len(seconds))]})
    return Recorded(rows, array, np.ones(len(array), np.bool_))


def test_the_newest_share_is_held_out() -> None:
    found = of(list(range(100)))
    assert found.cut(49, Feedback(window=0.2)) == 89
    assert found.after(89).sum() == 10
    assert found.cut(-1, Feedback(window=0.2)) == 79


def test_the_newest_hours_are_held_out() -> None:
    assert of([0, 5_000, 9_000, 10_000]).cut(-1, Feedback(window_hours=1)) == 6_400


@pytest.mark.parametrize(
    ("seconds", "since"), [([5, 5, 5], 0), ([5], 0), ([1, 2], 2), ([3], 9)], ids=str
)
def test_nothing_is_left_to_learn_from(seconds: list[int], since: int) -> None:
    assert of(seconds).cut(since, Feedback()) is None


@given(
    st.lists(st.integers(0, 50), min_size=1).map(sorted),
    st.integers(-1, 50),
    st.floats(0.01, 0.99),
)
def test_both_sides_of_a_cut_hold_new_events(seconds: list[int], since: int, window: float) -> None:
    found = of(seconds)
    cut = found.cut(since, Feedback(window=window))
    if cut is None:
        return
    assert cut >= since
    fresh = [second for second in seconds if second > since]
    held = found.after(cut)
    assert 0 < held.sum() < len(fresh)
    assert held.sum() >= window * len(fresh) - 1e-9


def test_what_is_learned_from_is_written_and_the_window_is_not(tmp_path: Path) -> None:
    events = [("u", f"i{n}", "view" if n % 2 else "skip", n) for n in range(10)]
    found = read_recorded(export(tmp_path / "events", events), SETTINGS)
    path = tmp_path / "feedback.parquet"
    assert found.write_until(6, path) == 8  # 7 and 9 are held out; no skip is
    assert pq.read_table(path)["item_id"].to_pylist() == [f"i{n}" for n in (*range(7), 8)]
    first = path.read_bytes()
    found.write_until(6, path)
    assert path.read_bytes() == first
    assert {p.name for p in tmp_path.iterdir()} == {"events", "feedback.parquet"}
    with pytest.raises(BuildError, match="cannot write the recorded events to .*free space"):
        found.write_until(6, tmp_path / "nowhere" / "feedback.parquet")
