"""What a step tells Prometheus, summed up in the process and sent a few times a second.

Each increment is a message to the server, of tens of microseconds, so none is sent for a request.
Triton 2.51 offers the Python backend histograms, too, but one message for each observation; so the
latency histogram is written as what Prometheus makes of one: counters ``_bucket{le=...}``, ``_sum``
and ``_count``, which ``histogram_quantile`` takes as it does any.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")

FLUSH_SECONDS = 0.25
"""Amounts are summed up for so long."""
BUCKETS_MS = (0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)
"""Upper bounds in milliseconds; what takes longer is in ``+Inf`` only."""

STEP_SECONDS = "millirank_step_seconds"
_BOUNDS = tuple(round(bound * 1_000_000) for bound in BUCKETS_MS)
_LE = (*(f"{bound / 1000:g}" for bound in BUCKETS_MS), "+Inf")
_COUNTS = "counts"
_FAMILIES = {
    f"{STEP_SECONDS}_bucket": "Requests that spent at most so long in a step, queue left out",
    f"{STEP_SECONDS}_sum": "Seconds that requests spent in a step; of a batch each waits for all",
    f"{STEP_SECONDS}_count": "Requests that went through a step",
}


class Measures:
    """Counters of a release, as one of its processes adds to them.

    Every metric is labelled with the release, and its processes share it. Tritonserver 2.51 keeps
    the metrics of a release that is unloaded, so a label for each process would pile up.

    Args:
        backend: the module ``triton_python_backend_utils``.
        args: what it calls ``initialize`` with.
        counted: names and texts of further counters, ``millirank_NAME_total``.
        steps: whose latencies are measured.
    """

    def __init__(
        self,
        backend: Any,
        args: Mapping[str, str],
        counted: Mapping[str, str],
        steps: Sequence[str],
    ) -> None:
        texts = {**{f"millirank_{n}_total": text for n, text in counted.items()}, **_FAMILIES}
        kind = backend.MetricFamily.COUNTER
        # A metric is void once its family is gone.
        self._families = {name: backend.MetricFamily(name, t, kind) for name, t in texts.items()}
        own = {"release": args["model_version"]}
        self._counters = [self._metric(f"millirank_{name}_total", own) for name in counted]
        self._counts = [0] * len(counted)
        self._steps = {step: _StepMetrics(self._metric, own | {"step": step}) for step in steps}
        self._warm_up = dict.fromkeys((*steps, _COUNTS), _warm_up_requests(args["model_config"]))
        self._lock = threading.Lock()
        self._more, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._flush_in_time, daemon=True)
        self._thread.start()

    def _metric(self, family: str, labels: dict[str, str]) -> Any:
        return self._families[family].Metric(labels=labels)

    def timed(
        self,
        step: str,
        answer: Callable[[Sequence[Request]], Sequence[Result]],
        requests: Sequence[Request],
    ) -> Sequence[Result]:
        """``answer(requests)``, and how long it took."""
        start = time.perf_counter_ns()
        answers = answer(requests)
        self.spent(step, time.perf_counter_ns() - start, len(requests))
        return answers

    def spent(self, step: str, nanoseconds: int, requests: int) -> None:
        """A step took ``nanoseconds`` for a batch of ``requests``.

        Requests of one batch each wait for all, so a batch counts once for each of its requests,
        as in Triton's own statistics.
        """
        if self._warming_up(step, requests):
            return
        with self._lock:
            self._steps[step].add(nanoseconds, requests)
        self._wake()

    def count(self, amounts: Sequence[int], requests: int) -> None:
        """What a batch of ``requests`` adds to each of ``counted``, in its order."""
        if self._warming_up(_COUNTS, requests):
            return
        with self._lock:
            for place, amount in enumerate(amounts):
                self._counts[place] += amount
        self._wake()

    def _wake(self) -> None:
        if not self._more.is_set():  # setting takes a lock, asking does not
            self._more.set()

    def _warming_up(self, what: str, requests: int) -> bool:
        """Triton warms every process up before anybody's request; that is nobody's latency."""
        left = self._warm_up[what]
        self._warm_up[what] = max(left - requests, 0)
        return left > 0

    def close(self) -> None:
        """Report what is left, and nothing afterwards."""
        self._over.set()
        self._more.set()
        self._thread.join()

    def _flush_in_time(self) -> None:
        while not self._over.is_set():
            self._more.wait()
            self._over.wait(FLUSH_SECONDS)
            self._more.clear()
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, [0] * len(self._counts)
            due = [pair for step in self._steps.values() for pair in step.take()]
        due += zip(self._counters, counts, strict=True)
        for counter, amount in due:
            if amount:
                counter.increment(amount)


def _warm_up_requests(model_config: str) -> int:
    samples = json.loads(model_config).get("model_warmup", ())
    return sum(sample["batch_size"] * (sample.get("count") or 1) for sample in samples)


class _StepMetrics:
    """Latencies of one step since the last flush."""

    def __init__(self, metric: Callable[[str, dict[str, str]], Any], own: dict[str, str]) -> None:
        self._buckets = [metric(f"{STEP_SECONDS}_bucket", own | {"le": bound}) for bound in _LE]
        self._rest = [metric(f"{STEP_SECONDS}_{name}", own) for name in ("sum", "count")]
        self._requests, self._nanoseconds = [0] * len(_LE), 0

    def add(self, nanoseconds: int, requests: int) -> None:
        self._requests[bisect_left(_BOUNDS, nanoseconds)] += requests
        self._nanoseconds += nanoseconds * requests

    def take(self) -> list[tuple[Any, float]]:
        """Counters and what to add to them: a bucket counts what is in those below it, too."""
        below = list(accumulate(self._requests))
        due: list[tuple[Any, float]] = list(zip(self._buckets, below, strict=True))
        due += zip(self._rest, (self._nanoseconds / 1e9, below[-1]), strict=True)
        self._requests, self._nanoseconds = [0] * len(_LE), 0
        return due
