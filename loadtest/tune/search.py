"""Trial after trial until time or trials run out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from optuna.trial import Trial

from ensembles.errors import LoadTestError, ServerError
from loadtest.tune.duel import Duel
from loadtest.tune.space import Values
from loadtest.tune.study import Trials

Log = Callable[[str], None]
"""Prints one line."""
_FAILURES = 3
"""So many trials in a row that could not be played end a search."""


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes:
        minutes: after which no trial starts; the one under way ends.
        trials: in the whole study, those of earlier runs included; None: no limit.
    """

    minutes: float
    trials: int | None = None


def search(
    trials: Trials, fight: Callable[[Values, Values], Duel], limits: Limits, log: Log
) -> None:
    """Hold settings against the best so far; what comes of it is in ``trials``.

    Args:
        fight: a duel of the best so far with a challenger, on servers of their own.

    Raises:
        LoadTestError, ServerError: trials fail one after the other; the last one's reason.
    """
    failures = 0
    deadline = time.monotonic() + limits.minutes * 60
    if done := len(trials.outcomes):
        log(f"{done} trials of an earlier run count; the search goes on")
    while limits.trials is None or len(trials.outcomes) < limits.trials:
        if time.monotonic() >= deadline:
            log(f"{limits.minutes:g} min are over; no other trial starts")
            return
        trial = trials.ask()
        if trial is None:
            log("every setting was tried")
            return
        try:
            if _play(trial, trials, fight, log):
                log(f"trial {trial.number} is the best so far")
            failures = 0
        except (LoadTestError, ServerError) as e:
            trials.fail(trial)
            failures += 1
            if failures == _FAILURES:
                raise
            log(f"trial {trial.number} could not be played and is left out: {e}")


def _play(trial: Trial, trials: Trials, fight: Callable[[Values, Values], Duel], log: Log) -> bool:
    """One trial; whether it replaced the best so far."""
    best, name = trials.best, f"trial {trial.number}"
    log(f"{name}: {described({n: v for n, v in trial.params.items() if best[n] != v})} ...")
    duels = [fight(best, trial.params)]
    log(f"{name}: {duels[0].line()}")
    if duels[0].better:
        duels.append(fight(best, trial.params))
        log(f"{name}, once more: {duels[1].line()}")
    return trials.tell(trial, duels).won


def described(values: Values) -> str:
    """Knobs in one line."""
    return ", ".join(f"{name} = {str(v).lower()}" for name, v in values.items()) or "as it is"
