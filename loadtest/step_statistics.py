"""Triton's own statistics: how long each step of the ensemble took, between two snapshots."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

from ensembles.errors import LoadTestError, did_you_mean
from ensembles.fuse import FUSED
from ensembles.profiles import CPU
from ensembles.recommend import RECOMMEND

SETTLE_SECONDS = 0.5
"""After so long without a request, the stages of the joined model have reported all they did."""
_PHASES = ("success", "queue", "compute_input", "compute_infer", "compute_output")
_STAGE = re.compile(r'^millirank_step_seconds_(sum|count){.*?step="(\w+)".*?} (\S+)$', re.MULTILINE)


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
"""Totals by model; versions of a model, and releases of a stage, are added up.

The stages of the joined model are there too, as ``FUSED/STAGE``: only their count and their
``compute_infer`` are known, and they are reported together, every quarter of a second or so.
"""


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


def read_snapshot(host: str, http_port: int, metrics_port: int = 0) -> Snapshot:
    """Ask the server for the statistics of all models, in one request.

    Args:
        metrics_port: where the stages of the joined model are reported; 0 leaves them out.

    Raises:
        LoadTestError: there is no such server, or its answer is not Triton's.
    """
    answer = _get_json(f"http://{host}:{http_port}/v2/models/stats")
    snapshot: Snapshot = {}
    try:
        for model in answer["model_stats"]:
            phases = model["inference_stats"]
            totals = Totals(phases["success"]["count"], *(phases[p]["ns"] for p in _PHASES))
            name = model["name"]
            snapshot[name] = _add(snapshot[name], totals) if name in snapshot else totals
    except (KeyError, TypeError) as e:
        raise LoadTestError(f"the statistics of {host}:{http_port} lack {e}; is it Triton?") from e
    if metrics_port and FUSED in snapshot:
        snapshot |= _read_stages(f"http://{host}:{metrics_port}/metrics")
    return snapshot


def settled_snapshot(host: str, http_port: int, metrics_port: int) -> Snapshot:
    """``read_snapshot`` of a server that nobody asks at the moment, after all has been reported.

    What a stage has not reported yet would count as the last stage's, which gets the rest.

    Raises:
        LoadTestError: as ``read_snapshot``.
    """
    time.sleep(SETTLE_SECONDS)
    return read_snapshot(host, http_port, metrics_port)


def _read_stages(url: str) -> Snapshot:
    amounts: Counter[tuple[str, str]] = Counter()
    for name, stage, amount in _STAGE.findall(_get(url).decode()):
        amounts[name, stage] += round(float(amount) * (1e9 if name == "sum" else 1))
    return {
        f"{FUSED}/{s}": Totals(amounts["count", s], 0, 0, 0, amounts["sum", s], 0)
        for s in CPU.fused
    }


def read_chain(host: str, http_port: int, ensemble: str = RECOMMEND.name) -> tuple[str, ...]:
    """Names of the ensemble's steps, in order, from the server's own configuration.

    Raises:
        LoadTestError: there is no such server, or the model is no ensemble.
    """
    config = _get_json(f"http://{host}:{http_port}/v2/models/{ensemble}/config")
    try:
        return tuple(step["model_name"] for step in config["ensemble_scheduling"]["step"])
    except (KeyError, TypeError) as e:
        raise LoadTestError(f"{ensemble!r} on {host}:{http_port} is not an ensemble") from e


def chain_times(
    before: Snapshot, after: Snapshot, steps: tuple[str, ...], ensemble: str = RECOMMEND.name
) -> ChainTimes:
    """Means of what happened between two snapshots; the joined model as the steps it is made of.

    Raises:
        LoadTestError: a model has no statistics, answered nothing in between, or was loaded anew.
    """
    apart: list[StepTimes] = []
    for step in steps:
        times = _times(step, before, after)
        apart += _take_apart(times, before, after) if step == FUSED else [times]
    return ChainTimes(_times(ensemble, before, after), tuple(apart))


def _take_apart(whole: StepTimes, before: Snapshot, after: Snapshot) -> list[StepTimes]:
    """The stages of the joined model, which add up to it.

    The first one has its queue and input, and the last one the rest: its output, and the way
    between Triton and the Python process, which is handling of the request as policy is.
    """
    nothing = StepTimes("", whole.count, 0, 0, 0, 0, 0)
    *firsts, last = CPU.fused
    stages = []
    for name in firsts:
        work = _times(f"{FUSED}/{name}", before, after).compute_infer_ms
        stages.append(replace(nothing, name=name, total_ms=work, compute_infer_ms=work))
    waited = whole.queue_ms, whole.compute_input_ms
    stages[0] = replace(
        stages[0],
        total_ms=stages[0].total_ms + sum(waited),
        queue_ms=waited[0],
        compute_input_ms=waited[1],
    )
    rest = replace(
        nothing,
        name=last,
        total_ms=whole.total_ms - sum(stage.total_ms for stage in stages),
        compute_infer_ms=whole.compute_infer_ms - sum(s.compute_infer_ms for s in stages),
        compute_output_ms=whole.compute_output_ms,
    )
    return [*stages, rest]


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


def _get_json(url: str) -> Any:
    try:
        return json.loads(_get(url))
    except ValueError as e:
        raise LoadTestError(f"expected Triton's JSON from {url}, got: {e}") from e


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http, built above
            return bytes(answer.read())
    except OSError as e:
        raise LoadTestError(f"expected Triton's answer from {url}, got: {e}") from e
