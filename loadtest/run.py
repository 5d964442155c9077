"""Play a scenario against a running server, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from ensembles.errors import MissingExtra
from loadtest.load_process import in_own_process
from loadtest.memory import first_and_last
from loadtest.progress import Tell
from loadtest.record import RunRecord
from loadtest.run_plan import RunPlan
from loadtest.scenario import Scenario
from loadtest.tracing import Tracing
from loadtest.traffic import holdout_users
from loadtest.watch import Watch
from serving.ports import Ports


def play(
    name: str,
    scenario: Scenario,
    ports: Ports,
    repository: Path,
    *,
    seed: int = 1,
    server_pid: int = 0,
    host: str = "127.0.0.1",
    tracing: Tracing | None = None,
    token: str = "",
    tell: Tell | None = None,
) -> RunRecord:
    """Play ``scenario`` with users of the release in ``repository``.

    Args:
        server_pid: process of the server, to watch its memory; 0 where it runs elsewhere.
        tracing: what the server was started with, to see where single requests spent their time.
        token: of the server, for tracing.
        tell: takes the progress about every second, in a thread of its own.

    Raises:
        LoadTestError: no users, no server, or no answer before the load.
        MissingExtra: Locust is not installed.
    """
    if importlib.util.find_spec("locust") is None:
        raise MissingExtra("locust", "loadtest")
    holdout_users(repository)  # fails here, and not in another process, when there are none
    folder = str(repository.resolve())
    numbers = (ports.http, ports.grpc, ports.metrics)
    seconds = scenario.seconds + sum(phase.seconds for phase in scenario.warm_up)
    with tempfile.TemporaryDirectory(prefix="millirank-load-") as temporary:
        progress = Path(temporary, "progress.json")
        plan = RunPlan(
            *(name, scenario, host, *numbers, folder, seed, tracing, token, str(progress))
        )
        with Watch(server_pid, progress, scenario.seconds, tell) as watch:
            text = in_own_process(json.dumps(plan.fields()), seconds, ("-m", "loadtest.open_loop"))
    samples = watch.memory()
    memory = {process: first_and_last(seen) for process, seen in samples.items()}
    return replace(RunRecord.from_json(text), memory_mb=memory, memory_samples=samples)
