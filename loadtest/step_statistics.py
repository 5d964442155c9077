"""Triton's own statistics: how long each step of the ensemble took, between two snapshots."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

from ensembles.errors import LoadTestError, did_you_mean
from ensembles.recommend import RECOMMEND

_PHASES = ("success", "queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Totals:
    """Since a model was loaded: answered requests, and nanoseconds they spent, in total.

    ``success`` is the whole stay of a request in the model; the other four are its phases.
    A step's last phase and the next step's queue overlap, because the answer goes on to the
    next step while the step is still counting.
    """

    count: int
    success: int
    queue: int
    compute_input: int
    compute_infer: int
    compute_output: int


Snapshot = dict[str, Totals]
"""Totals by model; versions of a model are added up."""


@dataclass(frozen=True)
class StepTimes:
    """Means per answered request, in milliseconds; requests of one batch each wait for all."""

    name: str
    count: int
    total_ms: float
    queue_ms: float
    compute_input_ms: float
    compute_infer_ms: float
    compute_output_ms: float

    @property
    def busy_ms(self) -> float:
        """What the step itself takes: tensors in, the work, tensors out; no queue."""
        return self.compute_input_ms + self.compute_infer_ms + self.compute_output_ms


@dataclass(frozen=True)
class ChainTimes:
    """The ensemble, as Triton timed it as a whole, and its steps in order."""

    ensemble: StepTimes
    steps: tuple[StepTimes, ...]


def read_snapshot(host: str, http_port: int) -> Snapshot:
    """Ask the server for the statistics of all models, in one request.

    Raises:
        LoadTestError: there is no such server, or its answer is not Triton's.
    """
    answer = _get(f"http://{host}:{http_port}/v2/models/stats")
    snapshot: Snapshot = {}
    try:
        for model in answer["model_stats"]:
            phases = model["inference_stats"]
            totals = Totals(phases["success"]["count"], *(phases[p]["ns"] for p in _PHASES))
            name = model["name"]
            snapshot[name] = _add(snapshot[name], totals) if name in snapshot else totals
    except (KeyError, TypeError) as e:
        raise LoadTestError(f"the statistics of {host}:{http_port} lack {e}; is it Triton?") from e
    return snapshot


def read_chain(host: str, http_port: int, ensemble: str = RECOMMEND.name) -> tuple[str, ...]:
    """Names of the ensemble's steps, in order, from the server's own configuration.

    Raises:
        LoadTestError: there is no such server, or the model is no ensemble.
    """
    config = _get(f"http://{host}:{http_port}/v2/models/{ensemble}/config")
    try:
        return tuple(step["model_name"] for step in config["ensemble_scheduling"]["step"])
    except (KeyError, TypeError) as e:
        raise LoadTestError(f"{ensemble!r} on {host}:{http_port} is not an ensemble") from e


def chain_times(
    before: Snapshot, after: Snapshot, steps: tuple[str, ...], ensemble: str = RECOMMEND.name
) -> ChainTimes:
    """Means of what happened between two snapshots.

    Raises:
        LoadTestError: a model has no statistics, answered nothing in between, or was loaded anew.
    """
    return ChainTimes(
        _times(ensemble, before, after), tuple(_times(step, before, after) for step in steps)
    )


def _times(name: str, before: Snapshot, after: Snapshot) -> StepTimes:
    for snapshot in (before, after):
        if name not in snapshot:
            raise LoadTestError(
                f"the server has no statistics of {name!r}.{did_you_mean(name, snapshot)}"
            )
    then, now = asdict(before[name]), asdict(after[name])
    spent = {phase: now[phase] - then[phase] for phase in now}
    count = spent.pop("count")
    if count <= 0 or min(spent.values()) < 0:
        raise LoadTestError(
            f"{name!r} answered {count} requests between the two snapshots; expected at least "
            "one, and no restart in between. Is this the server that got the load?"
        )
    return StepTimes(name, count, *(spent[phase] / count / 1e6 for phase in _PHASES))


def _add(one: Totals, other: Totals) -> Totals:
    both = asdict(other)
    return Totals(**{phase: value + both[phase] for phase, value in asdict(one).items()})


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http, built above
            return json.load(answer)
    except (OSError, ValueError) as e:
        raise LoadTestError(f"expected Triton's JSON from {url}, got: {e}") from e
