"""The process that loads a server: ``python -m loadtest.peers.generate``, a load on its input.

The users are those of every load test here, with bodies prepared for the server at hand.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.users import BinaryHttpUser  # first of all: it makes the standard library cooperative

import gevent  # isort: skip
from locust.env import Environment  # isort: skip

from ensembles.errors import LoadTestError
from ensembles.recommend import RECOMMEND
from loadtest.generator import Recorder
from loadtest.peers.measure import Load, Point
from loadtest.peers.process import tree_seconds
from loadtest.peers.wire import Form, request_body
from loadtest.percentiles import Latency
from loadtest.traffic import PreparedRequest, requests_for
from serving.messages import Request


class PeerUser(BinaryHttpUser):
    """Sends nothing but requests: no probes, as not every peer can be asked how it is."""

    @classmethod
    def aim(cls, load: Load) -> None:
        """Draw and prepare the requests, and connect; before any user starts."""
        requests = requests_for(Path(load.repository), RECOMMEND.name, load.seed)
        made = {r: _prepared(load.form, r) for r in set(requests)}
        cls._ensemble = RECOMMEND.name
        cls._requests = itertools.cycle([made[r] for r in requests])
        cls.tasks = [cls.request_only]  # Locust would keep an inherited task beside ours
        cls.connect("127.0.0.1", load.port)

    def request_only(self) -> None:
        """One request."""
        self._timed(self._ensemble, self.ask, next(self._requests))


def _prepared(form: Form, request: Request) -> PreparedRequest:
    body, headers = request_body(form, request)
    return PreparedRequest(body=body, headers=headers, ensemble=RECOMMEND.name)


def run(load: Load) -> Point:
    """Carry out ``load``.

    Raises:
        LoadTestError: nothing was answered.
    """
    PeerUser.aim(load)
    recorder = Recorder()
    environment = Environment(user_classes=[PeerUser], stop_timeout=20)
    events: Any = environment.events
    events.request.add_listener(recorder.request)
    runner = environment.create_local_runner()
    runner.start(load.clients, spawn_rate=load.clients)
    try:
        gevent.sleep(load.warm_up_seconds)
        busy, server = time.process_time(), tree_seconds(load.pid)
        start = time.perf_counter()
        recorder.recording = True
        gevent.sleep(load.seconds)
        recorder.recording = False
        seconds = time.perf_counter() - start
        server_seconds = tree_seconds(load.pid) - server
        busy = time.process_time() - busy
    finally:
        runner.quit()
    latencies = recorder.latencies_ms[RECOMMEND.name]
    if not latencies:
        worst = recorder.errors.most_common(1)
        raise LoadTestError(
            f"no request was answered in {seconds:.1f} s; "
            f"most frequent error: {worst[0][0] if worst else 'none, nothing came back'}"
        )
    return Point(
        seconds,
        Latency.of(latencies),
        sum(recorder.errors.values()),
        server_seconds,
        busy / seconds,
    )


def main() -> int:
    """0 and a line of JSON on standard output, or 1 and a sentence on standard error."""
    try:
        print(json.dumps(asdict(run(Load.read(sys.stdin.read())))))
    except LoadTestError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
