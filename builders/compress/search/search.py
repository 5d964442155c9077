"""Trial after trial until time or trials run out; what a run left, the next one goes on from."""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import sha256

from builders.compress.interface import CompressionData
from builders.compress.search.slo import Limits, Objective
from builders.compress.search.space import Space
from builders.compress.search.students import as_text
from builders.compress.search.study import Trials
from builders.compress.search.trial import run_trial
from ensembles.errors import BuildError

_FAILURES = 3
"""So many failed trials in a row end a search."""
_BAR = 30


def search(
    data: CompressionData, trials: Trials, space: Space, objective: Objective, limits: Limits
) -> None:
    """Run trials; what they find is in ``trials``.

    Args:
        data: ``data.work`` is shared by all trials and survives the search.

    Raises:
        BuildError: trials fail one after the other; the last one's reason.
        KeyboardInterrupt: the trial under way comes first in the next run.
    """
    started, failures = time.monotonic(), 0
    if trials.finished:
        data.log(f"{trials.finished} trials of an earlier run count; the search goes on")
    while limits.trials is None or trials.finished < limits.trials:
        spent = time.monotonic() - started
        data.log(_bar(spent, limits, trials.finished))
        late = spent - limits.minutes * 60
        if late >= 0:
            data.log(
                f"the time limit of {limits.minutes:g} min passed {late:.0f} s ago, while the last "
                "trial was under way; no other trial starts"
            )
            return
        try:
            _next(data, trials, space, objective)
            failures = 0
        except BuildError as e:
            failures += 1
            data.log(f"the trial failed and is left out: {e}")
            if failures == _FAILURES:
                raise


def _next(data: CompressionData, trials: Trials, space: Space, objective: Objective) -> None:
    trial = trials.ask()
    name = f"trial {trial.number}"
    passes = space.passes(trial)
    asked = as_text(passes)
    known = trials.known(asked)
    if known is not None:
        found, chain = known
        trials.tell(trial, asked, replace(found, name=name), chain)
        return
    started = time.monotonic()
    shown = ", ".join(p.kind for p in passes) or "the uncompressed ranker"
    data.log(f"{name}: {shown} ...")
    work = data.work / sha256(asked.encode()).hexdigest()[:16]
    within = replace(data, log=lambda line: data.log(f"{name}: {line}"))
    try:
        found, result = run_trial(within, passes, name, work, objective.percentile)
    except BuildError:
        trials.fail(trial)
        raise
    trials.tell(trial, asked, found, result.to_json())
    data.log(
        f"{name}: {objective.name} {found.latency_ms:.2f} ms, NDCG@10 {found.figures.change:+.2%} "
        f"with {found.describe()} ({time.monotonic() - started:.0f} s)"
    )


def _bar(spent: float, limits: Limits, finished: int) -> str:
    """A line of its own: a bar that is drawn again and again would disturb what is measured."""
    share = min(1.0, spent / (limits.minutes * 60))
    if limits.trials:
        share = max(share, finished / limits.trials)
    full = round(share * _BAR)
    goal = f" of {limits.trials}" if limits.trials else ""
    return (
        f"[{'#' * full}{'-' * (_BAR - full)}] {spent / 60:.0f} of {limits.minutes:g} min, "
        f"{finished}{goal} trials finished"
    )
