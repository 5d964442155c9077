"""A whole simulation on a small constructed log: two rounds, cut off in the second, resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from builders.simulation.arm import Arm
from builders.simulation.plan import Plan
from builders.simulation.run import simulate
from builders.simulation.seen import Seen
from builders.simulation.visit import Visit
from builders.simulation.write import write_result
from serving.repository import current_release
from tests.triton.test_build import settings, write_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
USERS = 30


def test_the_loop_turns_and_a_killed_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings(
        log=write_log(tmp_path / "log.csv", length=16),
        feedback={"tolerance": 0.95, "window": 0.3},
    )
    plan, out = Plan(rounds=2, users=USERS, explore=0.2), tmp_path / "out"
    played, lost = Arm._visits, []

    def cut_off(
        self: Arm, address: str, left: dict[str, frozenset[str]], *more: int
    ) -> list[Visit]:
        visits = played(self, address, left, *more)  # type: ignore[arg-type]
        if more[0] == 1:
            lost.extend(visits)
            raise KeyboardInterrupt
        return visits

    with monkeypatch.context() as patched:
        patched.setattr(Arm, "_visits", cut_off)
        with pytest.raises(KeyboardInterrupt):
            simulate(own, plan, out, "millirank simulate")

    found = simulate(own, plan, out, "millirank simulate")
    first, second = found.rounds["off"]
    assert (first.release, first.outcome, second.release) == (1, "release 2", 2)
    assert current_release(out / "off" / "repository") == 2
    assert second.figures["found"].value > first.figures["found"].value > 0.3
    # The round that was cut off was played again as if nothing had been: the same answers.
    again = Seen.load(out / "off" / "rounds" / "1.npz")
    assert again.shown.sum() == sum(len(items) for visit in lost for items in visit.shown)
    assert again.gain.tolist() == pytest.approx([sum(visit.gains) for visit in lost])
    assert again.clicks.tolist() == [len(visit.clicked) for visit in lost]

    assert [one.release for one in found.rounds["frozen"]] == [1, 1]
    for name, share in plan.arms.items():
        rounds = [Seen.load(out / name / "rounds" / f"{number}.npz") for number in range(2)]
        log = pq.read_table([*(out / name / "events").glob("*.parquet")])
        shown = log.filter(pc.equal(log["event"], "impression"))
        assert len(log) - len(shown) == sum(int(one.clicks.sum()) for one in rounds)
        assert len(shown) == sum(int(one.shown.sum()) for one in rounds)
        if share:
            assert 0 < pc.sum(shown["explored"]).as_py() < len(shown) / 2
            assert found.rounds[name][1].difference
    write_result(found, out)
    assert json.loads((out / "simulation.json").read_text())["users"] == USERS
