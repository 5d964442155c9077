from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import IntDistribution
from rich.console import Console

from ensembles.errors import ServerError
from ensembles.profiles import Knobs
from ensembles.recommend import chains
from loadtest.tune.duel import Duel, Figures, fight
from loadtest.tune.printed import trials_table
from loadtest.tune.run import Tuned
from loadtest.tune.search import Limits, described, search
from loadtest.tune.space import Values, changes, space, starts
from loadtest.tune.study import Trials
from loadtest.tune.subject import Subject

CORES = 4
KNOBS = Knobs()
SPACE = space(KNOBS, CORES, fused=True, pictures=False)
USUAL = {name: getattr(KNOBS, name) for name in SPACE}
MANY = Limits(minutes=10, trials=25)


def open_trials(tmp_path: Path, **other: Any) -> Trials:
    asked = {"space": SPACE, "starts": starts(KNOBS, SPACE, CORES), "usual": USUAL, **other}
    return Trials(tmp_path / "tune" / "studies.journal", "one", **asked)


class Machine:
    """Servers whose latency is known, but for noise."""

    def __init__(self, latency: Callable[[Values], float], noise: float = 0.1) -> None:
        self.latency, self.noise, self.rng = latency, noise, np.random.default_rng(3)
        self.played: list[dict[str, Any]] = []

    def fight(self, best: Values, challenger: Values) -> Duel:
        self.played.append(dict(challenger))

        def side(values: Values) -> Callable[[], Figures]:
            factor = self.noise
            return lambda: Figures(self.latency(values) * self.rng.lognormal(0, factor), None)

        return fight(side(best), side(challenger), 0.001)


def ignore(line: str) -> None:
    pass


def test_where_only_noise_differs_the_settings_stay(tmp_path: Path) -> None:
    trials = open_trials(tmp_path)
    search(trials, Machine(lambda values: 10.0).fight, MANY, ignore)
    assert len(trials.outcomes) == 25
    assert trials.best == USUAL
    assert trials.ratio == 1.0


def test_a_clearly_better_knob_wins(tmp_path: Path) -> None:
    trials = open_trials(tmp_path)
    machine = Machine(lambda values: 6.0 if values["instances"] == 3 else 10.0)
    search(trials, machine.fight, MANY, ignore)
    assert trials.best["instances"] == 3
    assert trials.ratio == pytest.approx(0.6, rel=0.2)


def test_gains_add_up_against_the_best_of_the_time(tmp_path: Path) -> None:
    trials = open_trials(tmp_path, starts=[{**USUAL, "instances": 1}, {**USUAL, "instances": 4}])
    machine = Machine(lambda values: {2: 10.0, 1: 8.0, 4: 5.0}[values["instances"]], noise=0)
    search(trials, machine.fight, Limits(minutes=10, trials=2), ignore)
    assert [o.ratio for o in trials.outcomes] == pytest.approx([0.8, 5 / 8])
    assert trials.ratio == pytest.approx(0.5)


def test_a_killed_search_goes_on_where_it_stood(tmp_path: Path) -> None:
    machine = Machine(lambda values: 10.0)

    def killed(best: Values, challenger: Values) -> Duel:
        if len(machine.played) == 4:
            machine.played.append(dict(challenger))
            raise KeyboardInterrupt
        return machine.fight(best, challenger)

    with pytest.raises(KeyboardInterrupt):
        search(open_trials(tmp_path), killed, MANY, ignore)
    under_way = machine.played.pop()
    again, said = open_trials(tmp_path), []
    assert len(again.outcomes) == 4
    search(again, machine.fight, Limits(minutes=10, trials=12), said.append)
    assert said[0] == "4 trials of an earlier run count; the search goes on"
    assert under_way in machine.played
    assert len(machine.played) == 12
    assert all(machine.played.count(values) == 1 for values in machine.played)
    search(open_trials(tmp_path), machine.fight, Limits(minutes=10, trials=12), ignore)
    assert len(machine.played) == 12


def test_the_end_of_the_time_and_of_the_settings(tmp_path: Path) -> None:
    machine, said = Machine(lambda values: 10.0), []
    search(open_trials(tmp_path), machine.fight, Limits(minutes=0), said.append)
    assert said == ["0 min are over; no other trial starts"]
    few = {"space": {"instances": IntDistribution(1, 3)}, "starts": [], "usual": {"instances": 2}}
    trials = open_trials(tmp_path / "few", **few)
    search(trials, machine.fight, Limits(minutes=1), said.append)
    assert said[-1] == "every setting was tried"
    assert sorted(o.values["instances"] for o in trials.outcomes) == [1, 3]


def test_trials_that_cannot_be_played(tmp_path: Path) -> None:
    machine, calls, said = Machine(lambda values: 10.0), [], []

    def once(best: Values, challenger: Values) -> Duel:
        calls.append(challenger)
        if len(calls) == 1:
            raise ServerError("no")
        return machine.fight(best, challenger)

    search(open_trials(tmp_path), once, Limits(minutes=1, trials=2), said.append)
    assert "trial 0 could not be played and is left out: no" in said

    def never(best: Values, challenger: Values) -> Duel:
        raise ServerError("no")

    with pytest.raises(ServerError, match="no"):
        search(open_trials(tmp_path / "never"), never, Limits(minutes=1), ignore)


def test_the_space_and_its_starts() -> None:
    without = space(KNOBS, 2, fused=False, pictures=False)
    assert {"fuse_steps", "visual_candidates"}.isdisjoint(without)
    assert "visual_candidates" in space(KNOBS, 2, fused=False, pictures=True)
    alone = replace(KNOBS, fuse_steps=False)
    own = replace(KNOBS, instances=9, ranker_threads=7, visual_candidates=33)
    for knobs, fused in ((KNOBS, True), (alone, False), (own, True)):
        known = space(knobs, CORES, fused=fused, pictures=True)
        for values in starts(knobs, known, CORES):
            assert set(values) == set(known)
            assert changes(knobs, values)
            replace(knobs, **values)
            inside = [d._contains(d.to_internal_repr(values[name])) for name, d in known.items()]
            assert all(inside)


def test_what_is_printed() -> None:
    assert described({"instances": 3, "fuse_steps": False}) == "instances = 3, fuse_steps = false"
    assert described({}) == "as it is"
    rows: Sequence[dict[str, Any]] = [
        {"number": 0, "values": USUAL, "duels": [Duel((0.5,) * 5, "").fields()] * 2},
        {"number": 1, "values": {**USUAL, "instances": 1}, "duels": [Duel((), "no").fields()]},
    ]
    subject = Subject(Path("r"), 1, chains(lookup=False, visual=False), KNOBS)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(trials_table(subject, Tuned({}, {"trials": rows})))
    assert shown.get().count("better") == 2
    assert "instances = 1" in shown.get()
