"""A Locust master and its workers, each a process of its own; all on this machine.

Imported by the process of the master alone: Locust replaces the standard library's sockets.
"""

from __future__ import annotations

from loadtest.users import REQUEST_SECONDS  # isort: skip (Locust comes first)

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import gevent
from gevent.queue import Queue
from locust.env import Environment

from ensembles.errors import LoadTestError
from loadtest.figures import Figures
from loadtest.generator import user_class
from loadtest.plan import Plan

HOST = "127.0.0.1"
_START_SECONDS = 60.0
_END_SECONDS = 15.0


@contextmanager
def crew(plans: Sequence[Plan], workers: int) -> Iterator[Any]:
    """A master's runner with that many workers, who can play the users of every plan.

    Raises:
        LoadTestError: a worker did not start.
    """
    environment = Environment(
        user_classes=[user_class(plan) for plan in plans], stop_timeout=2 * REQUEST_SECONDS
    )
    runner = environment.create_master_runner(HOST, 0)
    processes = []
    try:
        processes = [
            _start([replace(p, seed=p.seed + i) for p in plans], runner.server.port)
            for i in range(workers)
        ]
        _wait_for(runner, processes)
        yield runner
    finally:
        runner.quit()
        for process in processes:
            _end(process)


def _start(plans: Sequence[Plan], port: int) -> subprocess.Popen[str]:
    # A session of its own: Ctrl-C in the terminal is for the owner, who ends its workers.
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest.worker", str(port)],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps([asdict(plan) for plan in plans]))
    process.stdin.close()
    return process


def _wait_for(runner: Any, processes: Sequence[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while len(runner.clients.ready) < len(processes):
        if any(p.poll() is not None for p in processes) or time.monotonic() > deadline:
            raise LoadTestError(
                f"expected {len(processes)} workers, {len(runner.clients.ready)} are there; "
                "what they say stands above"
            )
        gevent.sleep(0.05)


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Gathered:
    """What all workers recorded, in fine resolution; Locust's own reports are rounded."""

    def __init__(self, runner: Any, workers: int) -> None:
        self._runner, self._workers = runner, workers
        self._came: Any = Queue()
        runner.register_message("figures", lambda msg, **_: self._came.put(msg.data))

    def begin(self) -> None:
        """Have every worker record from now on."""
        self._runner.send_message("begin")

    def end(self) -> Figures:
        """What they recorded.

        Raises:
            LoadTestError: a worker did not answer.
        """
        self._runner.send_message("end")
        try:
            parts = [self._came.get(timeout=_END_SECONDS) for _ in range(self._workers)]
        except gevent.queue.Empty:
            raise LoadTestError(
                f"expected the figures of {self._workers} workers within {_END_SECONDS:g} s; "
                "one of them ended, or the machine is out of processor time"
            ) from None
        return Figures.joined([Figures.unpack(part) for part in parts])


def end_with_parent(quit_now: Callable[[], None]) -> None:
    """Call ``quit_now`` when the process that started this one is gone, however it ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            gevent.sleep(0.5)
        quit_now()

    gevent.spawn(watch)
