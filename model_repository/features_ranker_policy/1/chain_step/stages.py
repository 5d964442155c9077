"""Runs a batch of requests through several steps; one that fails goes no further."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .batch_log import BatchLog

Stage = Callable[[Sequence[Any]], Sequence[Any]]
"""One result or exception for each request, or for each result of the stage before."""
Spent = Callable[[str, int, int], None]
"""Takes a stage, nanoseconds, and the requests that spent them in it."""


class Passed(NamedTuple):
    """A stage of the last batch: beginning and end, ns of the monotonic clock, and who was in it.

    ``places`` are those of the requests in the batch.
    """

    stage: str
    start: int
    end: int
    places: Sequence[int]


class Stages:
    """Stages by name, in order.

    Attributes:
        passed: what the last batch went through.
    """

    def __init__(self, stages: Mapping[str, Stage], spent: Spent, log: BatchLog) -> None:
        self._stages = stages
        self._spent = spent
        self._log = log
        self.passed: list[Passed] = []

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """The last stage's result for each request, or the exception of the stage it failed in."""
        results = list(requests)
        alive = list(range(len(results)))
        moments = [time.perf_counter_ns()]
        self.passed = []
        for name, stage in self._stages.items():
            if not alive:
                break
            for place, result in zip(alive, stage([results[p] for p in alive]), strict=True):
                results[place] = result
            moments.append(time.perf_counter_ns())
            self.passed.append(Passed(name, moments[-2], moments[-1], alive))
            self._spent(name, moments[-1] - moments[-2], len(alive))
            alive = [p for p in alive if not isinstance(results[p], Exception)]
        self._log.add(moments)
        return results


def merged(
    taken: Sequence[Mapping[str, Any]], given: Sequence[Any], name: str
) -> list[dict[str, Any] | Exception]:
    """Each request's tensors with a new one, or the exception that stands in its place."""
    return [
        new if isinstance(new, Exception) else {**tensors, name: new}
        for tensors, new in zip(taken, given, strict=True)
    ]
