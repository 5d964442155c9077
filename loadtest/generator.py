"""The process that makes the load: a plan on standard input, what was observed on output.

``python -m loadtest.generator``; it ends by itself, and on SIGTERM after its requests in flight:
the server can crash when gRPC clients vanish in the middle of a request.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

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
from loadtest.percentiles import Latency
from loadtest.plan import Observed, Plan
from loadtest.step_statistics import read_snapshot
from loadtest.traffic import Protocol


class Recorder:
    """Keeps latencies as they are; Locust's own tables round them to milliseconds."""

    def __init__(self) -> None:
        self.recording = False
        self.latencies_ms: defaultdict[str, list[float]] = defaultdict(list)
        self.errors: Counter[str] = Counter()

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


def run(plan: Plan, stop: Event) -> Observed:
    """Carry out ``plan``; ``stop`` ends it early.

    Raises:
        LoadTestError: it was stopped early, nothing was answered, or the release names no users.
    """
    user: type[PreparedUser] = GrpcUser if plan.protocol is Protocol.GRPC else BinaryHttpUser
    user.ready(plan.host, plan.port, Path(plan.repository), plan.ensemble, plan.seed)
    recorder = Recorder()
    environment = Environment(user_classes=[user], stop_timeout=2 * REQUEST_SECONDS)
    events: Any = environment.events
    events.request.add_listener(recorder.request)
    events.user_error.add_listener(recorder.user_error)
    runner = environment.create_local_runner()
    runner.start(plan.users, spawn_rate=min(plan.users, 100))
    try:
        return _observe(plan, recorder, stop)
    finally:
        runner.quit()


def _observe(plan: Plan, recorder: Recorder, stop: Event) -> Observed:
    stop.wait(plan.warm_up_seconds)
    before = read_snapshot(plan.host, plan.http_port, plan.metrics_port)
    start, busy = time.perf_counter(), time.process_time()
    recorder.recording = True
    stop.wait(plan.seconds)
    recorder.recording = False
    seconds = time.perf_counter() - start
    if stop.is_set():
        raise LoadTestError("the load test was stopped before its time was over")
    if not recorder.latencies_ms[plan.ensemble]:
        worst = recorder.errors.most_common(1)
        raise LoadTestError(
            f"no request was answered by {plan.ensemble} in {seconds:.1f} s over {plan.protocol}; "
            f"most frequent error: {worst[0][0] if worst else 'none, nothing came back'}"
        )
    return Observed(
        seconds=seconds,
        answered=Latency.of(recorder.latencies_ms[plan.ensemble]),
        round_trip=Latency.of(recorder.latencies_ms[PROBE]),
        errors=dict(recorder.errors.most_common()),
        generator_share=(time.process_time() - busy) / seconds,
        before=before,
        after=read_snapshot(plan.host, plan.http_port, plan.metrics_port),
    )


def main() -> int:
    """0 and a line of JSON on standard output, or 1 and a sentence on standard error."""
    stop = Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    try:
        print(run(Plan.read(sys.stdin.read()), stop).write())
    except LoadTestError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
