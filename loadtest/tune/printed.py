"""What ``millirank tune`` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.objective import Objective
from loadtest.tables import table_of
from loadtest.toml_settings import shipped
from loadtest.tune.run import Tuned, tune
from loadtest.tune.search import Limits, described
from loadtest.tune.space import changes
from loadtest.tune.study import Outcome
from loadtest.tune.subject import Subject


def print_tune(
    subject: Subject,
    scenario: str,
    *,
    objective: Path | None,
    limits: Limits,
    seed: int,
    publish: Callable[[dict[str, Any], dict[str, Any]], tuple[int, str]],
) -> None:
    """Tune a release, publish what is better, and print what was found.

    Args:
        publish: takes changed settings and the evidence, and gives the number of the new release
            and the lines with which a build makes the same.
    """
    console = Console()

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True, markup=False)

    wanted = Objective.read(objective or shipped("objectives")["default"])
    found = tune(subject, scenario, wanted, limits, seed=seed, log=say)
    console.print(trials_table(subject, found))
    if not found.changed:
        say(f"no setting is better beyond the noise; release {subject.release} stays as it is")
        return
    release, lines = publish(found.changed, found.evidence)
    say(
        f"release {release} is release {subject.release} with {described(found.changed)}: "
        f"{found.evidence['latency_ratio']:.2f} times its p{found.evidence['percentile']}"
    )
    say(f"for the next build, in its TOML file:\n{lines}")


def trials_table(subject: Subject, found: Tuned) -> Table:
    """Every trial, against the best of its time."""
    table = table_of("Trials, against the best so far", "ratio", "95 %", "rounds", "", "settings")
    table.columns[-1].no_wrap = False
    table.columns[-1].justify = "left"
    for fields in found.evidence["trials"]:
        outcome = Outcome.read(fields)
        for duel in outcome.duels:
            low, high = duel.interval
            table.add_row(
                str(outcome.number),
                "" if duel.out else f"{duel.ratio:.3f}",
                f"{low:.2f} to {high:.2f}" if len(duel.ratios) > 1 else "",
                str(len(duel.ratios)),
                "out" if duel.out else "better" if duel.better else "",
                described(changes(subject.knobs, outcome.values)),
                style="bold" if outcome.won else None,
            )
    return table
