"""What `simulate` refuses before anything is built."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from builders.simulation import run
from builders.simulation.plan import DAY, Plan
from builders.simulation.run import PLAN, simulate
from ensembles.errors import DataError, SettingsError
from tests.unit.simulation.worlds import settings, walkers

ALONE = Plan(rounds=2, users=10, explore=0.0)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    own = settings(walkers(tmp_path / "log.csv"))
    with pytest.raises(SettingsError, match="files that are no simulation's; choose another"):
        simulate(own, ALONE, tmp_path, "millirank simulate")
    with pytest.raises(SettingsError, match="is no folder; choose another --out"):
        simulate(own, ALONE, tmp_path / "log.csv", "millirank simulate")
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_another_simulation_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings(walkers(tmp_path / "log.csv"))
    monkeypatch.setattr(run, "_play", lambda *_: None)
    monkeypatch.setattr(run.Result, "of", lambda *_: None)
    out = tmp_path / "out"
    simulate(own, ALONE, out, "millirank simulate")
    simulate(own, ALONE, out, "millirank simulate")
    with pytest.raises(SettingsError, match="a simulation with another plan; choose another"):
        simulate(own, Plan(rounds=3, users=10, explore=0.0), out, "millirank simulate")
    walkers(tmp_path / "log.csv", users=13)
    with pytest.raises(SettingsError, match="a simulation with another data; choose another"):
        simulate(own, ALONE, out, "millirank simulate")
    assert (out / PLAN).is_file()


def test_users_do_not_act_in_the_future(tmp_path: Path) -> None:
    now = int(time.time()) - DAY
    rows = [f"u{u},i{(u + n) % 6},{now - 100 + n}" for u in range(3) for n in range(6)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    with pytest.raises(DataError, match="ends less than 2 days ago"):
        simulate(settings(tmp_path / "log.csv"), ALONE, tmp_path / "out", "millirank simulate")
