"""Trials on disk: those of earlier runs count, and one that was killed is played again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from loadtest.tune.duel import Duel
from loadtest.tune.space import Values

_OUTCOME = "outcome"
_OUT = log(10.0)
"""What a trial counts that missed the objective: ten times as slow."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        values: all knobs that are searched.
        duels: against the best so far; a second one, with servers of its own, follows a first
            that was won, for among many trials chance wins one.
    """

    number: int
    values: dict[str, Any]
    duels: tuple[Duel, ...]

    @property
    def won(self) -> bool:
        """Whether it replaced the best so far."""
        return len(self.duels) == 2 and all(duel.better for duel in self.duels)

    @property
    def ratio(self) -> float:
        """Latency over that of the best so far: of the second duel, which no choice flattered."""
        return self.duels[-1].ratio

    def fields(self) -> dict[str, Any]:
        """For JSON; ``read`` is the reverse."""
        duels = [duel.fields() for duel in self.duels]
        return {"number": self.number, "values": self.values, "duels": duels}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """From ``fields``."""
        duels = tuple(map(Duel.read, fields["duels"]))
        return cls(fields["number"], fields["values"], duels)


class Trials:
    """Trials of one study in a journal file, which may hold other studies.

    Args:
        space: ranges of the knobs.
        starts: what a new study tries first.
        usual: the settings that the first trials are held against.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        space: dict[str, BaseDistribution],
        starts: Sequence[Values],
        usual: Values,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(path)))
        self._study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True)
        # Otherwise a study that goes on would propose again what it proposed at its start.
        self._study.sampler = optuna.samplers.TPESampler(seed=len(self._study.trials))
        self._space, self._usual = space, dict(usual)
        if not self._study.trials:
            for values in starts:
                self._study.enqueue_trial(dict(values))
        for killed in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(killed.number, state=TrialState.FAIL)
            self._study.enqueue_trial(killed.params)

    @property
    def outcomes(self) -> list[Outcome]:
        """Of every finished trial, oldest first."""
        return [_outcome(t) for t in self._complete() if _OUTCOME in t.user_attrs]

    @property
    def best(self) -> dict[str, Any]:
        """The settings that no trial has beaten."""
        return next((o.values for o in reversed(self.outcomes) if o.won), self._usual)

    @property
    def ratio(self) -> float:
        """Latency of ``best`` over that of the settings at first."""
        found = 1.0
        for outcome in self.outcomes:
            found *= outcome.ratio if outcome.won else 1.0
        return found

    def ask(self) -> Trial | None:
        """The next trial that is not played yet; None where a hundred proposals bring none."""
        for _ in range(100):
            trial = self._study.ask(self._space)
            known = [t.value for t in self._complete() if t.params == trial.params]
            if not known and trial.params != self._usual:
                return trial
            self._study.tell(trial, known[0] if known else 0.0)
        return None

    def tell(self, trial: Trial, duels: Sequence[Duel]) -> Outcome:
        """Finish a trial."""
        found = Outcome(trial.number, trial.params, tuple(duels))
        value = _OUT if duels[-1].out else log(self.ratio) + log(found.ratio)
        trial.set_user_attr(_OUTCOME, json.dumps(found.fields()))
        self._study.tell(trial, value)
        return found

    def fail(self, trial: Trial) -> None:
        """Finish a trial that could not be played."""
        self._study.tell(trial, state=TrialState.FAIL)

    def _complete(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _outcome(trial: FrozenTrial) -> Outcome:
    return Outcome.read(json.loads(trial.user_attrs[_OUTCOME]))
