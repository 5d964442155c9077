"""The command ``tune``: serve, search, and say what was found."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from loadtest.objective import Objective
from loadtest.rates import lasting
from loadtest.scenario import Scenario, find_scenario
from loadtest.supervised import play_supervised
from loadtest.tune.duel import Duel, Figures, fight
from loadtest.tune.measure import compared, figures
from loadtest.tune.search import Limits, Log, search
from loadtest.tune.space import Values, changes, space, starts
from loadtest.tune.study import Trials
from loadtest.tune.subject import Subject
from serving.manifest import check, manifest_path
from serving.server import TritonServer

SECONDS = 6.0
"""Of load in one run, where that gives the answers that a p99 needs; else longer."""
_NDCG_LOSS = 0.001
"""Where the objective names no difference."""


@dataclass(frozen=True)
class Tuned:
    """What a search ends with.

    Attributes:
        changed: settings that are other than those of the release; empty where none is faster.
        evidence: for the manifest: objective, scenario, machine, every trial with its ratios.
    """

    changed: dict[str, Any]
    evidence: dict[str, Any]


def tune(
    subject: Subject, name: str, objective: Objective, limits: Limits, *, seed: int, log: Log
) -> Tuned:
    """Search for settings of a release under which the scenario ``name`` is answered faster.

    Raises:
        LoadTestError: the objective limits no latency, or a scenario cannot be played.
        ReleaseError: the release is damaged.
    """
    check(subject.repository, subject.release)
    subject.remove_left_copies()
    percentile, cores = compared(objective), os.cpu_count() or 1
    scenario = find_scenario(name)
    scenario = lasting(scenario, SECONDS, objective.minimum_count)
    pictures = scenario.pictures > 0 and subject.takes_pictures
    known = space(subject.knobs, cores, fused=subject.fused, pictures=pictures)
    usual = {knob: getattr(subject.knobs, knob) for knob in known}
    journal = subject.repository.resolve().parent / "tune" / "studies.journal"
    study = _study_name(subject, scenario, objective, cores, seed)
    trials = Trials(journal, study, known, starts(subject.knobs, known, cores), usual)
    log(
        f"release {subject.release}, {name}: lower p{percentile} is better; machine load "
        f"{os.getloadavg()[0]:.1f} on {cores} cores"
    )
    arena = _Arena(subject, name, scenario, objective, seed, log)
    search(trials, arena.fight, limits, log)
    return Tuned(changes(subject.knobs, trials.best), _evidence(trials, name, objective, subject))


@dataclass(frozen=True)
class _Arena:
    subject: Subject
    name: str
    scenario: Scenario
    objective: Objective
    seed: int
    log: Log

    def fight(self, best: Values, challenger: Values) -> Duel:
        """Two freshly started servers, loaded in turns."""
        loss = self.objective.ndcg_difference
        with self.subject.served(best) as ours, self.subject.served(challenger) as theirs:
            return fight(
                lambda: self._load(ours),
                lambda: self._load(theirs),
                _NDCG_LOSS if loss is None else loss,
            )

    def _load(self, server: TritonServer) -> Figures:
        run = play_supervised(
            server, server.repository, self.name, self.scenario, self.seed, self.log
        )
        return figures(self.objective, run)


def _study_name(
    subject: Subject, scenario: Scenario, objective: Objective, cores: int, seed: int
) -> str:
    """Another one as soon as anything changes that a trial depends on."""
    manifest = manifest_path(subject.repository, subject.release).read_bytes()
    asked = [scenario.model_dump(mode="json"), objective.model_dump(mode="json"), cores, seed]
    digest = sha256(manifest + json.dumps(asked, sort_keys=True).encode())
    return f"tune-{digest.hexdigest()[:16]}"


def _evidence(trials: Trials, name: str, objective: Objective, subject: Subject) -> dict[str, Any]:
    found = []
    for outcome in trials.outcomes:
        # JSON has no infinity, the end of the interval of one ratio.
        intervals = [d.interval if len(d.ratios) > 1 else None for d in outcome.duels]
        found.append({**outcome.fields(), "intervals": intervals, "won": outcome.won})
    return {
        "from_release": subject.release,
        "scenario": name,
        "objective": objective.model_dump(mode="json", exclude_none=True),
        "percentile": compared(objective),
        "settings": changes(subject.knobs, trials.best),
        "latency_ratio": trials.ratio,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "trials": found,
    }
