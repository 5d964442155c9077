"""Capacity: what is known of the highest rate at which a scenario still meets an objective."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from ensembles.errors import LoadTestError
from loadtest.objective import Objective, judge
from loadtest.percentiles import Latency
from loadtest.record import RunRecord


@dataclass(frozen=True)
class Step:
    """One rate, played once.

    Attributes:
        offered, answered: requests/s.
        missed: conditions of the objective; empty where all are met.
        bottleneck: why the load process may have set the figures; empty where it did not.
        full: played in the scenario's own length.
    """

    offered: float
    answered: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    missed: tuple[str, ...] = ()
    bottleneck: str = ""
    full: bool = False

    @property
    def met(self) -> bool:
        """Whether the objective was met."""
        return not self.missed


@dataclass(frozen=True)
class Capacity:
    """What a search found.

    Attributes:
        scenario: its name or file.
        limit: highest rate, requests/s, that met the objective also in the scenario's full
            length; None where none did.
        at_least: why the limit may be higher; empty where the server set it.
        knee: rate from which the latency (p95) turns up; None where it never does.
        steps: in the order in which they were played.
    """

    scenario: str
    limit: float | None
    at_least: str
    knee: float | None
    steps: tuple[Step, ...]

    @property
    def reached(self) -> float:
        """Highest rate that met the objective in a step, if for some seconds only; 0 for none."""
        return max((step.offered for step in self.steps if step.met), default=0.0)

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of ``to_json``.

        Raises:
            LoadTestError: the text is something else.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            steps = tuple(Step(**{**s, "missed": tuple(s["missed"])}) for s in fields["steps"])
            return cls(**{**fields, "steps": steps})
        except (ValueError, KeyError, TypeError) as e:
            raise LoadTestError(
                "expected a capacity as `millirank loadtest --find-limit --json` writes it, "
                f"got {e!r}"
            ) from e


def at_any_rate(objective: Objective) -> Objective:
    """What of an objective can be asked of every rate, in a few seconds.

    Its requests/s then mean that what was offered was answered; a growth of memory is not seen.

    Raises:
        LoadTestError: nothing is left that a high rate could miss.
    """
    share = objective.error_share
    if share is None and objective.requests_per_second is not None:
        share = 0.0
    limits = (objective.p50_ms, objective.p95_ms, objective.p99_ms, share)
    if all(limit is None for limit in limits):
        raise LoadTestError(
            "a limit is searched for an objective with p50_ms, p95_ms, p99_ms, error_share or "
            "requests_per_second; this one has none of them"
        )
    changed = {"error_share": share, "requests_per_second": None, "memory_growth": None}
    return objective.model_copy(update=changed)


def judged(objective: Objective, run: RunRecord, offered: float, *, full: bool) -> Step:
    """A run as a step of the curve."""
    missed = tuple(
        v.missed if v.missed == run.bottleneck else f"{v.name} {v.missed}"
        for v in judge(objective, run)
        if v.missed
    )
    # A step without a single answer has no latency.
    latency = run.latency if run.latency_ms else Latency(0, 0.0, 0.0, 0.0, 0.0)
    figures = (latency.p50_ms, latency.p95_ms, latency.p99_ms)
    return Step(offered, run.requests_per_second, *figures, missed, run.bottleneck, full)
