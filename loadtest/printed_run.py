"""What ``millirank loadtest --scenario`` does and prints."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from loadtest.objective import Objective, judge
from loadtest.progress import shown
from loadtest.record import RunRecord
from loadtest.report.past import Past
from loadtest.report.stored import StoredRun
from loadtest.run import play
from loadtest.scenario import Scenario, find_scenario
from loadtest.target import Target
from loadtest.toml_settings import shipped
from loadtest.trace_tables import print_traced
from loadtest.tracing import Tracing
from loadtest.verdict_table import verdict_table
from serving.repository import current_release
from serving.temporary import temporary_server

TRACED_SECONDS = 120.0
"""A longer scenario is not traced: it is after what grows and breaks, and traces add to both."""


def print_run(
    repository: Path,
    name: str,
    *,
    objective: Path | None,
    seed: int,
    json_file: Path | None,
    otlp: str = "",
    out: Path | None = None,
    compare: Path | None = None,
    running: Target | None = None,
) -> bool:
    """Serve a repository, play a scenario, and keep the run; whether it met the objective.

    Args:
        json_file: gets the run, too.
        otlp: collector that gets the traces; ``""`` to read them here.
        out: folder of the kept runs; None: ``loadtest`` beside the repository.
        compare: a kept run; a regression against it is a condition that is missed.
        running: a server of the same release to load instead; nothing is traced there.

    Raises:
        LoadTestError: the load could not be carried out, or ``compare`` is of no use.
    """
    scenario = find_scenario(name)
    wanted = Objective.read(objective or shipped("objectives")["default"])
    past = Past.of(repository, name, scenario, out=out, compare=compare)
    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True, markup=False)

    if running is None:
        run = _play_traced(repository, name, scenario, seed, otlp, console)
    else:
        running.check_serves(repository)
        run = _play(repository, name, scenario, seed, running, None, console)
    release, now = current_release(repository), datetime.now(UTC)
    kept = past.keep(StoredRun(now, release, scenario, wanted, tuple(judge(wanted, run)), run))
    if json_file is not None:
        json_file.write_text(kept.stored.to_json(), encoding="utf-8")
    console.print(verdict_table(run, kept.stored.verdicts))
    _say_errors_and_budgets(run, say)
    print_traced(console, run, otlp)
    for line in kept.lines:
        say(line)
    return not any(verdict.missed for verdict in kept.stored.verdicts)


def _play_traced(
    repository: Path, name: str, scenario: Scenario, seed: int, otlp: str, console: Console
) -> RunRecord:
    """On a server of our own, with traces where the scenario is short enough."""
    with tempfile.TemporaryDirectory(prefix="millirank-traces-") as folder:
        long = scenario.seconds > TRACED_SECONDS
        tracing = None if long and not otlp else Tracing(folder, otlp=otlp)
        how = (tracing.flags, tracing.stage_log) if tracing else ()
        with temporary_server(repository, *how) as server:
            target = Target("127.0.0.1", server.ports, server.pid, server.token)
            return _play(repository, name, scenario, seed, target, tracing, console)


def _play(
    repository: Path,
    name: str,
    scenario: Scenario,
    seed: int,
    target: Target,
    tracing: Tracing | None,
    console: Console,
) -> RunRecord:
    with shown(console, scenario.seconds) as tell:
        return play(
            name,
            scenario,
            target.ports,
            repository,
            seed=seed,
            server_pid=target.pid,
            host=target.host,
            tracing=tracing,
            token=target.token,
            tell=tell,
        )


def _say_errors_and_budgets(run: RunRecord, say: Callable[[str], None]) -> None:
    for error, count in list(run.errors.items())[:3]:
        say(f"{count:,} x {error}")
    for ensemble, budget in run.budgets.items():
        say(f"{ensemble}: {budget.line()}")
