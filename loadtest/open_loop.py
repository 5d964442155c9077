"""The process that plays a scenario: a plan on standard input, the record of the run on output.

``python -m loadtest.open_loop``; on SIGTERM it ends after its requests in flight.
"""

from __future__ import annotations

import json
import signal
import sys
import time

from loadtest.player import Player  # first of all: it makes the standard library cooperative

import gevent  # isort: skip
from gevent.event import Event  # isort: skip

import numpy as np

from ensembles.errors import LoadTestError, MillirankError, RequestError
from loadtest.progress import telling
from loadtest.quality import Items, compare
from loadtest.record import Quality, RunRecord
from loadtest.run_plan import RunPlan, budgets
from loadtest.trace_join import traced


def run(plan: RunPlan, stop: Event) -> RunRecord:
    """Carry out ``plan``: a few requests without load, warm-up, load.

    Raises:
        LoadTestError: it was stopped early, the server is not there, or the release has no users.
    """
    player, scenario = Player(plan, stop), plan.scenario
    unloaded = _unloaded(player)
    player.play(scenario.warm_up)
    player.clear()
    before = plan.snapshot()
    start, busy = time.perf_counter(), time.process_time()
    with plan.traced(), telling(plan.progress, player.progress):
        seconds = player.play(scenario.phases)
    share = (time.process_time() - busy) / (time.perf_counter() - start)
    after = plan.snapshot()
    found = budgets(
        plan,
        [(player.bodies[a.line].ensemble, a.ms) for a in player.answers],
        player.probes,
        player.mean_late_ms,
        (before, after),
    )
    return RunRecord(
        scenario=plan.name,
        loop=scenario.loop,
        seed=plan.seed,
        seconds=seconds,
        due_s=tuple(a.due_s for a in player.answers),
        latency_ms=tuple(a.ms for a in player.answers),
        late_p99_ms=float(np.percentile(player.late_ms or [0.0], 99)),
        errors=dict(player.errors.most_common()),
        failed_s=tuple(player.failed_s),
        generator_share=share,
        quality=_quality(player, unloaded),
        memory_mb={},  # seen from outside, see `Watch`
        budgets=found,
        traced=traced(plan.tracing, player.seen(), found) if plan.tracing else None,
    )


def _unloaded(player: Player) -> dict[int, Items]:
    found = {}
    for line in player.compared:
        try:
            found[line] = player.items(line, player.ask(line))
        except RequestError as e:
            raise LoadTestError(f"a request before the load got no answer: {e}") from e
    return found


def _quality(player: Player, unloaded: dict[int, Items]) -> Quality | None:
    replies = [(a.line, a.reply) for a in player.answers if a.reply is not None]
    loaded = [(line, player.items(line, reply)) for line, reply in replies]
    return compare(player.lines, unloaded, loaded)


def main() -> int:
    """0 and a line of JSON on standard output, or 1 and a sentence on standard error."""
    stop = Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    try:
        print(run(RunPlan.read(json.loads(sys.stdin.read())), stop).to_json())
    except MillirankError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
