"""What ``millirank loadtest --find-limit`` prints."""

from __future__ import annotations

from math import log
from pathlib import Path

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.capacity import Capacity, Step
from loadtest.capacity_search import Search
from loadtest.objective import Objective
from loadtest.record import RunRecord
from loadtest.report.stored import Shelf, write_whole
from loadtest.scenario import Scenario, find_scenario
from loadtest.supervised import play_supervised
from loadtest.tables import table_of
from loadtest.toml_settings import shipped
from serving.temporary import temporary_server

_WIDTH = 24
"""Characters of the longest bar."""


def print_limit(
    repository: Path, name: str, *, objective: Path | None, seed: int, json_file: Path | None
) -> bool:
    """Serve a repository and search for its limit; whether there is one."""
    wanted = Objective.read(objective or shipped("objectives")["default"])
    scenario = find_scenario(name)
    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True, markup=False)

    with temporary_server(repository) as server:

        def played(changed: Scenario) -> RunRecord:
            return play_supervised(server, repository, name, changed, seed, say)

        found = Search(name, scenario, wanted, played, lambda step: say(step_line(step))).run()
    for file in (Shelf.of(repository, name).capacity, json_file):
        if file is not None:
            write_whole(file, found.to_json())
    console.print(curve_table(found))
    say(summary(found))
    return found.limit is not None


def step_line(step: Step) -> str:
    """One step, as soon as it is over."""
    what = "in full length" if step.full else "for some seconds"
    figures = f"p50 {step.p50_ms:.2f} ms, p95 {step.p95_ms:.2f} ms, p99 {step.p99_ms:.2f} ms"
    verdict = "met" if step.met else f"missed: {'; '.join(step.missed)}"
    return f"{step.offered:,.0f} requests/s {what}: {figures}, {verdict}"


def curve_table(found: Capacity) -> Table:
    """The curve, lowest rate first, with its sketch: p99 on a logarithmic scale."""
    table = table_of(
        f"{found.scenario}: latency over the rate", "answered/s", "p50 ms", "p95 ms", "p99 ms", ""
    )
    table.add_column("p99", min_width=_WIDTH)
    table.add_column("", no_wrap=True)
    shown = [s.p99_ms for s in found.steps if s.p99_ms > 0] or [1.0]
    lowest, highest = min(shown) / 1.5, max(shown)
    for step in sorted(found.steps, key=lambda s: (s.offered, s.full)):
        p99_ms = max(step.p99_ms, lowest)
        share = log(p99_ms / lowest) / log(highest / lowest)
        table.add_row(
            f"{step.offered:,.0f}/s",
            f"{step.answered:,.0f}",
            *(f"{ms:.2f}" for ms in (step.p50_ms, step.p95_ms, step.p99_ms)),
            "met" if step.met else "missed",
            Bar(1.0, 0.0, share, width=_WIDTH),
            _marks(found, step),
            style=None if step.met else "red",
        )
    return table


def _marks(found: Capacity, step: Step) -> Text:
    knee = step.offered == found.knee
    limit = step.full and step.offered == found.limit
    return Text(", ".join(["knee"] * knee + ["limit"] * limit))


def summary(found: Capacity) -> str:
    """Limit and knee in two sentences."""
    if found.limit is None:
        line = "no rate met the objective"
        if found.reached:
            line += f" in full length; for some seconds {found.reached:,.0f} requests/s did"
        line += f"; {found.at_least}" if found.at_least else ""
    elif found.at_least:
        line = f"the limit is at least {found.limit:,.0f} requests/s; above, {found.at_least}"
    else:
        line = f"the limit is {found.limit:,.0f} requests/s"
    turns = f"{found.knee:,.0f} requests/s" if found.knee else "not reached"
    return f"{line}. Knee, where p95 turns up: {turns}."
