"""The study on disk: trials of earlier runs count, and one that was killed comes first again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from builders.compress.search.front import Candidate
from builders.compress.search.space import Parameters

_CANDIDATE, _CHAIN, _ASKED = "candidate", "chain", "asked"


class Trials:
    """Trials of one study, in a journal file.

    Args:
        path: the journal; it may hold other studies.
        name: of the study.
        starts: what a new study tries first.
        seed: of the sampler.
    """

    def __init__(self, path: Path, name: str, starts: Sequence[Parameters], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = JournalStorage(JournalFileBackend(str(path)))
        self._study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        # Otherwise a study that goes on would propose again what it proposed at its start.
        self._study.sampler = optuna.samplers.TPESampler(seed=seed + len(self._study.trials))
        if not self._study.trials:
            for parameters in starts:
                self._study.enqueue_trial(parameters)
        for killed in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(killed.number, state=TrialState.FAIL)
            self._study.enqueue_trial(killed.params)

    @property
    def finished(self) -> int:
        """Trials that came to an end, in this run or an earlier one."""
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))

    def ask(self) -> Trial:
        """The next trial."""
        return self._study.ask()

    def known(self, asked: str) -> tuple[Candidate, dict[str, Any]] | None:
        """What an earlier trial with the same passes found."""
        for trial in self._complete():
            if trial.user_attrs[_ASKED] == asked:
                return _candidate(trial), trial.user_attrs[_CHAIN]
        return None

    def tell(self, trial: Trial, asked: str, found: Candidate, chain: dict[str, Any]) -> None:
        """Finish a trial; ``chain`` is the whole result of its chain as plain data."""
        trial.set_user_attr(_ASKED, asked)
        trial.set_user_attr(_CANDIDATE, json.dumps(found.to_json()))
        trial.set_user_attr(_CHAIN, chain)
        self._study.tell(trial, [found.latency_ms, found.loss])

    def fail(self, trial: Trial) -> None:
        """Finish a trial that found nothing."""
        self._study.tell(trial, state=TrialState.FAIL)

    def candidates(self) -> list[Candidate]:
        """What every finished trial ended with."""
        return [_candidate(trial) for trial in self._complete()]

    def chain(self, name: str) -> dict[str, Any]:
        """The whole chain of the candidate ``name``."""
        found = (t for t in self._complete() if _candidate(t).name == name)
        chain: dict[str, Any] = next(found).user_attrs[_CHAIN]
        return chain

    def _complete(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _candidate(trial: optuna.trial.FrozenTrial) -> Candidate:
    return Candidate.from_json(json.loads(trial.user_attrs[_CANDIDATE]))
