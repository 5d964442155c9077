"""The process that makes the load: a plan on standard input, what was observed on output.

``python -m loadtest.generator``; it ends by itself, and on SIGTERM after its requests in flight:
the server can crash when gRPC clients vanish in the middle of a request.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from loadtest.users import (  # first of all: it makes the standard library cooperative
    PROBE,
    REQUEST_SECONDS,
    BinaryHttpUser,
    GrpcUser,
    PreparedUser,
)

import gevent  # isort: skip
from gevent.event import Event  # isort: skip
from locust.env import Environment  # isort: skip

from ensembles.errors import LoadTestError
from loadtest import traffic
from loadtest.figures import Figures
from loadtest.percentiles import Latency
from loadtest.plan import Observed, Plan
from loadtest.step_statistics import read_snapshot


class Recorder:
    """Keeps latencies as they are; Locust's own tables round them to milliseconds."""

    def __init__(self) -> None:
        self.recording = False
        self.latencies_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.errors: Counter[str] = Counter()

    def listen(self, environment: Any) -> None:
        """Hear of the requests of an environment's users."""
        environment.events.request.add_listener(self.request)
        environment.events.user_error.add_listener(self.user_error)

    def begin(self) -> None:
        """Record from now on."""
        self._start, self._busy = time.perf_counter(), time.process_time()
        self.recording = True

    def end(self) -> Figures:
        """What was recorded."""
        self.recording = False
        seconds = time.perf_counter() - self._start
        return Figures(
            seconds=seconds,
            generator_share=(time.process_time() - self._busy) / seconds,
            latencies_ms=dict(self.latencies_ms),
            errors=dict(self.errors.most_common()),
        )

    def request(
        self, name: str, response_time: float, exception: Exception | None, **_: Any
    ) -> None:
        """Locust's event for every answer and every failure."""
        if not self.recording:
            return
        if exception is None:
            self.latencies_ms[name].append(response_time)
        else:
            self.errors[str(exception)] += 1

    def user_error(self, exception: Exception, **_: Any) -> None:
        """Locust's event for a user that failed outside of a request."""
        self.errors[repr(exception)] += 1


class Recording(Protocol):
    """Records from ``begin`` to ``end``: a ``Recorder``, or one in each of several processes."""

    def begin(self) -> None:
        """Record from now on."""

    def end(self) -> Figures:
        """What was recorded."""


def user_class(plan: Plan) -> type[PreparedUser]:
    """The users of a plan."""
    return GrpcUser if plan.protocol is traffic.Protocol.GRPC else BinaryHttpUser


def run(plan: Plan, stop: Event) -> Observed:
    """Carry out ``plan``; ``stop`` ends it early.

    Raises:
        LoadTestError: it was stopped early, nothing was answered, or the release names no users.
    """
    user = user_class(plan)
    user.ready(plan.host, plan.port, Path(plan.repository), plan.ensemble, plan.seed)
    recorder = Recorder()
    environment = Environment(user_classes=[user], stop_timeout=2 * REQUEST_SECONDS)
    recorder.listen(environment)
    runner = environment.create_local_runner()
    runner.start(plan.users, spawn_rate=min(plan.users, 100))
    try:
        return observe(plan, recorder, stop)
    finally:
        runner.quit()


def observe(plan: Plan, recording: Recording, stop: Event) -> Observed:
    """Warm up, and record what users who run already see.

    Raises:
        LoadTestError: it was stopped early, or nothing was answered.
    """
    stop.wait(plan.warm_up_seconds)
    before = read_snapshot(plan.host, plan.http_port, plan.metrics_port)
    recording.begin()
    stop.wait(plan.seconds)
    found = recording.end()
    if stop.is_set():
        raise LoadTestError("the load test was stopped before its time was over")
    if not found.latencies_ms.get(plan.ensemble):
        worst = next(iter(found.errors), "none, nothing came back")
        raise LoadTestError(
            f"no request was answered by {plan.ensemble} in {found.seconds:.1f} s over "
            f"{plan.protocol}; most frequent error: {worst}"
        )
    return Observed(
        seconds=found.seconds,
        answered=Latency.of(found.latencies_ms[plan.ensemble]),
        round_trip=Latency.of(found.latencies_ms.get(PROBE, [])),
        errors=found.errors,
        generator_share=found.generator_share,
        before=before,
        after=read_snapshot(plan.host, plan.http_port, plan.metrics_port),
    )


def carry_out(work: Callable[[Plan, Event], Observed]) -> int:
    """0 and a line of JSON on standard output, or 1 and a sentence on standard error."""
    stop = Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    try:
        print(work(Plan.read(sys.stdin.read()), stop).write())
    except LoadTestError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(carry_out(run))
