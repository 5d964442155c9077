"""A Locust master that makes one load: ``python -m loadtest.master WORKERS``, a plan on its input.

What comes out is what ``loadtest.generator`` puts out.
"""

from __future__ import annotations

from loadtest.generator import carry_out, observe  # isort: skip (Locust comes first)

import sys

from gevent.event import Event

from loadtest.crew import Gathered, crew
from loadtest.plan import Observed, Plan


def run(plan: Plan, workers: int, stop: Event) -> Observed:
    """Carry out ``plan`` with its users spread over ``workers`` processes.

    Raises:
        LoadTestError: as ``loadtest.generator.run``, or a worker did not start or answer.
    """
    with crew([plan], workers) as runner:
        gathered = Gathered(runner, workers)
        runner.start(plan.users, spawn_rate=plan.users)
        return observe(plan, gathered, stop)


if __name__ == "__main__":
    sys.exit(carry_out(lambda plan, stop: run(plan, int(sys.argv[1]), stop)))
