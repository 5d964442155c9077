"""A run of a scenario on the terminal."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.objective import Objective, Verdict, judge
from loadtest.record import RunRecord
from loadtest.run import play
from loadtest.scenario import find_scenario
from loadtest.tables import table_of
from loadtest.toml_settings import shipped
from loadtest.trace_tables import print_traced
from loadtest.tracing import Tracing
from serving.temporary import temporary_server


def print_run(
    repository: Path,
    name: str,
    *,
    objective: Path | None,
    seed: int,
    json_file: Path | None,
    otlp: str = "",
) -> bool:
    """Serve a repository and play a scenario; whether it met the objective."""
    scenario = find_scenario(name)
    wanted = Objective.read(objective or shipped("objectives")["default"])
    with tempfile.TemporaryDirectory(prefix="millirank-traces-") as folder:
        tracing = Tracing(folder, otlp=otlp)
        with temporary_server(repository, tracing.flags, tracing.stage_log) as server:
            run = play(
                name,
                scenario,
                server.ports,
                repository,
                seed=seed,
                server_pid=server.pid,
                tracing=tracing,
                token=server.token,
            )
    if json_file is not None:
        json_file.write_text(run.to_json(), encoding="utf-8")
    verdicts = judge(wanted, run)
    console = Console()
    console.print(verdict_table(run, verdicts))
    for error, count in list(run.errors.items())[:3]:
        console.print(f"{count:,} x {error}", highlight=False, soft_wrap=True)
    for ensemble, budget in run.budgets.items():
        console.print(f"{ensemble}: {budget.line()}", highlight=False, soft_wrap=True)
    print_traced(console, run, otlp)
    return not any(verdict.missed for verdict in verdicts)


def verdict_table(run: RunRecord, verdicts: Sequence[Verdict]) -> Table:
    """Every condition, what was reached, and what was missed by how much."""
    table = table_of(f"{run.scenario}: {run.loop} loop, seed {run.seed}", "wanted", "got", "missed")
    for v in verdicts:
        table.add_row(v.name, v.wanted, v.got, v.missed, style="red" if v.missed else None)
    table.caption = (
        f"load process: {run.generator_share:.0%} of a core, at most "
        f"{run.generator_ceiling:,.0f} requests/s; 99 % left within {run.late_p99_ms:.1f} ms"
    )
    return table
