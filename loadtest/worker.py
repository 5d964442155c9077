"""A Locust worker: ``python -m loadtest.worker PORT``, its plans on standard input.

It ends when the master says so, and when the master is gone.
"""

from __future__ import annotations

from loadtest.users import REQUEST_SECONDS  # isort: skip (Locust comes first)

import json
import signal
import sys
from pathlib import Path
from typing import Any

import gevent
from locust.env import Environment

from loadtest.crew import HOST, end_with_parent
from loadtest.generator import Recorder, user_class
from loadtest.plan import Plan


def work(plans: list[Plan], port: int) -> None:
    """Play users of ``plans`` for the master at ``port`` until the end.

    Raises:
        LoadTestError: the release names no users.
    """
    for plan in plans:
        user_class(plan).ready(
            plan.host, plan.port, Path(plan.repository), plan.ensemble, plan.seed
        )
    environment = Environment(
        user_classes=[user_class(plan) for plan in plans], stop_timeout=2 * REQUEST_SECONDS
    )
    recorder = Recorder()
    recorder.listen(environment)
    runner = environment.create_worker_runner(HOST, port)

    def begin(**_: Any) -> None:
        recorder.begin()

    def end(**_: Any) -> None:
        runner.send_message("figures", recorder.end().pack())

    runner.register_message("begin", begin)
    runner.register_message("end", end)
    gevent.signal_handler(signal.SIGTERM, runner.quit)
    end_with_parent(runner.quit)
    runner.greenlet.join()


if __name__ == "__main__":
    work([Plan.read(json.dumps(fields)) for fields in json.load(sys.stdin)], int(sys.argv[1]))
