"""What a duel compares of a run."""

from __future__ import annotations

from ensembles.errors import LoadTestError
from loadtest.capacity import at_any_rate
from loadtest.objective import Objective, judge
from loadtest.record import RunRecord
from loadtest.tune.duel import Figures

_NO_LATENCY = {"p50_ms": None, "p95_ms": None, "p99_ms": None}


def compared(objective: Objective) -> int:
    """The highest percentile that the objective limits.

    Raises:
        LoadTestError: it limits none.
    """
    for percentile in (99, 95, 50):
        if getattr(objective, f"p{percentile}_ms") is not None:
            return percentile
    raise LoadTestError(
        "tuning lowers the highest percentile that the objective limits, but it has none of "
        "p99_ms, p95_ms and p50_ms; add one"
    )


def figures(objective: Objective, run: RunRecord) -> Figures:
    """Of one run.

    Raises:
        LoadTestError: it got no answer.
    """
    wanted = at_any_rate(objective).model_copy(update=_NO_LATENCY)
    verdicts = [v for v in judge(wanted, run) if v.missed not in ("", run.bottleneck)]
    missed = [f"{v.name} {v.missed}" for v in verdicts]
    ms = getattr(run.latency, f"p{compared(objective)}_ms")
    quality = run.quality
    ndcg = quality.ndcg_loaded if quality is not None and quality.scored else None
    return Figures(ms, ndcg, tuple(missed), run.bottleneck)
