"""How a log is cut into what is known and what users would like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from builders.dataset.build import build_dataset
from builders.simulation.arm_settings import arm_settings, whole_log
from builders.simulation.plan import Plan
from builders.simulation.snapshot import write_snapshot
from builders.simulation.world import World, cut
from ensembles.errors import DataError, SettingsError
from tests.unit.simulation.worlds import dataset, settings, walkers


def test_nothing_known_is_liked(tmp_path: Path) -> None:
    log, plan = dataset(tmp_path), Plan(users=12)
    known = cut(log, plan)
    world = World.of(log, known, plan, listed=False)
    for user, likes in world.likes.items():
        first = int(user[1:])
        done = {f"i{(first + step) % 20}" for step in range(4)}
        later = {f"i{(first + step) % 20}" for step in range(4, 8)}
        assert not likes & done
        # Items 15 and more come after the known half of the last user.
        assert likes == later & set(world.item_ids)
    assert "i15" not in world.item_ids
    assert world.start == 1000 + 100 * 11 + 3 + 1


def test_an_item_that_is_done_again_is_not_liked(tmp_path: Path) -> None:
    rows = [f"u{u},i{item},{1000 + n}" for u in range(3) for n, item in enumerate((0, 1, 0, 2, 1))]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows, "w,i2,1"]))
    log = build_dataset(settings(tmp_path / "log.csv"), tmp_path / "dataset", lambda _: None)
    plan = Plan()
    world = World.of(log, cut(log, plan), plan, listed=False)
    assert set(world.likes.values()) == {frozenset({"i2"})}


def test_items_of_the_list_alone(tmp_path: Path) -> None:
    log, plan = dataset(tmp_path), Plan(users=12)
    world = World.of(log, cut(log, plan), plan, listed=True)
    assert sorted(world.item_ids) == sorted(log.item_ids[1:])
    assert all(len(likes) == 4 for likes in world.likes.values())
    assert world.popular.sum() == round(0.1 * len(world.item_ids))


def test_the_same_seed_draws_the_same_users(tmp_path: Path) -> None:
    log = dataset(tmp_path)

    def drawn(seed: int) -> list[str]:
        plan = Plan(users=5, seed=seed)
        return [*World.of(log, cut(log, plan), plan, listed=False).likes]

    assert drawn(1) == drawn(1)
    assert len(drawn(1)) == 5
    assert len({tuple(drawn(seed)) for seed in range(6)}) > 1


def test_a_cut_by_time_leaves_the_newest_events(tmp_path: Path) -> None:
    log = dataset(tmp_path)
    known = cut(log, Plan(cut="time", known=0.25))
    assert log.timestamp[known].max() < log.timestamp[~known].min()
    assert known.mean() == pytest.approx(0.25, abs=0.02)


def test_a_cut_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    log = dataset(tmp_path)
    with pytest.raises(DataError, match=r"leaves 96 of 96 events known; some have to be"):
        cut(log, Plan(known=0.99))


def test_a_world_needs_users(tmp_path: Path) -> None:
    log = dataset(tmp_path)
    known = np.arange(len(log.item)) < len(log.item) - 1
    with pytest.raises(DataError, match=r"[01] users have events that were held out"):
        World.of(log, known, Plan(), listed=True)


def test_a_build_reads_the_known_part_as_it_was(tmp_path: Path) -> None:
    lines = ["user_id,item_id,timestamp,kind,title,tags"]
    lines += [
        f"u{u},i{n},{1000 + n},{('buy', 'view')[n % 2]},Item {n},even;{n}"
        for u in range(3)
        for n in range(8)
    ]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    columns = {"event": "kind", "title": "title", "categories": "tags"}
    weights = {"view": 1.0, "buy": 3.0, "click": 1.0}
    own = settings(
        tmp_path / "log.csv",
        data={"columns": columns, "event_weights": weights, "category_separator": ";"},
        clean={"max_timestamp": 2000},
    )
    log = build_dataset(whole_log(own), tmp_path / "whole", lambda _: None)
    known = cut(log, Plan())
    write_snapshot(log, known, weights, tmp_path / "snapshot")
    arm = arm_settings(own, Plan(), 0.0, tmp_path / "snapshot")
    found = build_dataset(arm, tmp_path / "known", lambda _: None)
    assert found.user_ids == log.user_ids
    assert found.weight.tolist() == [3.0, 1.0] * 6
    assert found.titles == ["", *(f"Item {n}" for n in range(4))]
    assert found.category_names == ["0", "1", "2", "3", "even"]
    assert found.timestamp.tolist() == [1000, 1001, 1002, 1003] * 3
    rows = pq.read_table(tmp_path / "snapshot" / "items.parquet")
    assert rows["title"].to_pylist() == [f"Item {n}" for n in range(8)]
    assert (arm.record.impressions, arm.serving.hold_out_test) == (1.0, False)
    assert arm.clean.max_timestamp is None


def test_a_snapshot_that_cannot_be_written(tmp_path: Path) -> None:
    log = dataset(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the known part of the log"):
        write_snapshot(log, cut(log, Plan()), {}, tmp_path / "file")


@pytest.mark.parametrize("event", ["dislike", "clik"])
def test_a_click_has_to_count(tmp_path: Path, event: str) -> None:
    own = settings(walkers(tmp_path / "log.csv"))
    with pytest.raises(SettingsError, match=f"--event '{event}' is none of the event types"):
        arm_settings(own, Plan(event=event), 0.0, tmp_path)
