"""Sends the requests of a script when they are due, and records what comes back.

Importing this file imports Locust; see ``loadtest.users``.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.users import PROBE_EVERY, BinaryHttpUser, GrpcUser, PreparedUser, Reply  # first

import gevent.monkey  # isort: skip
from gevent.event import Event  # isort: skip
from gevent.pool import Pool  # isort: skip
from locust.env import Environment  # isort: skip

from ensembles.errors import LoadTestError, RequestError
from loadtest.arrivals import schedule
from loadtest.quality import Items, items_of
from loadtest.run_plan import RunPlan
from loadtest.scenario import Phase
from loadtest.script import as_bytes, write_script
from loadtest.trace_join import Seen
from loadtest.traffic import Protocol

IN_FLIGHT = 1000
"""Requests that may wait for an answer; one that is due beyond that counts as an error."""
EVENT_LOOP_SECONDS = 0.002
"""The event loop's timers are a millisecond or so late; the last bit is slept by a thread."""
_sleep = gevent.monkey.get_original("time", "sleep")
COMPARED = 300
"""About so many lines, all over the script, are asked before the load, too, and compared."""


@dataclass(frozen=True)
class Answer:
    """One answer: which line of the script, when it was due (s), how long it took (ms)."""

    line: int
    due_s: float
    ms: float
    reply: Reply | None


class Player:
    """Sends the lines of a script, one after the other and round again."""

    def __init__(self, plan: RunPlan, stop: Event) -> None:
        self.plan, self.stop = plan, stop
        self.lines = write_script(plan.scenario, Path(plan.repository), plan.seed)
        self.bodies = as_bytes(self.lines)
        self.users = _connect(plan, {line.protocol for line in self.lines})
        self.compared = range(0, len(self.lines), max(1, len(self.lines) // COMPARED))
        self.pool = Pool(IN_FLIGHT)
        self.clear()

    def clear(self) -> None:
        """Forget what was recorded, and begin the script anew."""
        self.sent = 0
        self.answers: list[Answer] = []
        self.probes: list[float] = []
        self.late_ms: list[float] = []
        self.begun = 0.0
        self.errors: Counter[str] = Counter()
        self.failed_s: list[float] = []

    def ask(self, line: int) -> Reply:
        """Send one line."""
        return self.users[self.lines[line].protocol].ask(self.bodies[line])

    def play(self, phases: tuple[Phase, ...]) -> float:
        """Play phases and wait for the last answers; seconds that the phases took."""
        start = self.begun = begun = time.perf_counter()
        for number, phase in enumerate(phases):
            if phase.users:
                everyone = [
                    gevent.spawn(self._closed, begun, start + phase.seconds)
                    for _ in range(phase.users)
                ]
                gevent.joinall(everyone)
            else:
                seed = self.plan.seed + number
                due = schedule(self.plan.scenario.arrivals, phase.rates, phase.seconds, seed)
                for moment in (start + due).tolist():
                    self._wait_until(moment)
                    self._send_at(moment, begun)
            self._wait_until(start + phase.seconds)
            start += phase.seconds
        seconds = time.perf_counter() - begun
        self.pool.join()
        return seconds

    def _send_at(self, moment: float, begun: float) -> None:
        self.late_ms.append((time.perf_counter() - moment) * 1000)
        if self.pool.free_count() > 0:
            self.pool.spawn(self._timed, self._next(), moment, begun)
        else:
            message = f"not sent: {IN_FLIGHT} requests were waiting for an answer"
            self._failed(message, moment - begun)

    def _closed(self, begun: float, end: float) -> None:
        while (now := time.perf_counter()) < end and not self.stop.is_set():
            self._timed(self._next(), now, begun)

    def _next(self) -> int:
        self.sent += 1
        return (self.sent - 1) % len(self.lines)

    def _timed(self, line: int, due: float, begun: float) -> None:
        try:
            reply = self.ask(line)
        except RequestError as e:
            self._failed(str(e), due - begun)
            gevent.sleep(0.01)
            return
        ms = (time.perf_counter() - due) * 1000
        self.answers.append(Answer(line, due - begun, ms, reply if line in self.compared else None))
        if len(self.answers) % PROBE_EVERY == 0:
            self._probe(self.lines[line].protocol, begun)

    def _failed(self, message: str, due_s: float) -> None:
        self.errors[message] += 1
        self.failed_s.append(due_s)

    def _probe(self, protocol: Protocol, begun: float) -> None:
        start = time.perf_counter()
        try:
            self.users[protocol].probe()
        except RequestError as e:
            self._failed(str(e), start - begun)
        else:
            self.probes.append((time.perf_counter() - start) * 1000)

    def _wait_until(self, moment: float) -> None:
        wait = moment - time.perf_counter()
        if wait > EVENT_LOOP_SECONDS:
            self.stop.wait(wait - EVENT_LOOP_SECONDS)
        wait = moment - time.perf_counter()
        if wait > 0:
            gevent.get_hub().threadpool.apply(_sleep, (wait,))
        if self.stop.is_set():
            raise LoadTestError("the load test was stopped before its time was over")

    def seen(self) -> list[Seen]:
        """The answers, as traces are told from another."""
        return [Seen(str(a.line), round((self.begun + a.due_s) * 1e9), a.ms) for a in self.answers]

    def progress(self) -> tuple[int, int]:
        """Answers and errors so far."""
        return len(self.answers), sum(self.errors.values())

    @property
    def mean_late_ms(self) -> float:
        """From the moment that a request was due to its leaving; 0 in a closed loop."""
        return sum(self.late_ms) / max(self.sent, 1)

    def items(self, line: int, reply: Reply) -> Items:
        """Ids of an answer; none where it is not one of ours."""
        try:
            return items_of(self.lines[line].protocol, *reply)
        except RequestError:
            return ()


def _connect(plan: RunPlan, protocols: set[Protocol]) -> dict[Protocol, PreparedUser]:
    kinds: dict[Protocol, tuple[type[PreparedUser], int]] = {
        Protocol.GRPC: (GrpcUser, plan.grpc_port),
        Protocol.HTTP: (BinaryHttpUser, plan.http_port),
    }
    environment: Any = Environment(user_classes=[])
    users = {}
    for protocol in sorted(protocols):
        kind, port = kinds[protocol]
        kind.connect(plan.host, port)
        users[protocol] = kind(environment)
    return users
