"""What ``millirank loadtest --generator`` prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.bottleneck import GENERATOR_LIMIT
from loadtest.no_op.measure import USERS, Speed, allowed, measure
from loadtest.tables import table_of

SECONDS = 3.0


def print_generator(repository: Path, *, seed: int) -> None:
    """Measure one load process with users of ``repository``, and say how much it may be asked."""
    speeds = measure(repository, seconds=SECONDS, seed=seed)
    console = Console()
    console.print(speed_table(speeds))
    console.print(conclusion(speeds), highlight=False, soft_wrap=True)


def speed_table(speeds: list[Speed]) -> Table:
    """A row for each loop and protocol."""
    table = table_of(
        "One load process against a model that does nothing",
        *("req/s", "CPU us", "of a core", "1/CPU", "limit"),
    )
    for s in speeds:
        table.add_row(
            f"{s.loop} loop, {s.protocol}",
            f"{s.requests_per_second:,.0f}",
            f"{s.cpu_us:.0f}",
            f"{s.generator_share:.0%}",
            f"{s.ceiling:,.0f}",
            "this process" if s.bottleneck else "server",
        )
    table.caption = (
        "CPU us: of the load process for each request; 1/CPU: requests/s with a core to itself\n"
        f"open loop: the highest rate tried whose schedule was kept; closed loop: {USERS} users"
    )
    return table


def conclusion(speeds: list[Speed]) -> str:
    """What follows for scenarios, and what did not limit the figures."""
    kept = min(s.requests_per_second for s in speeds if s.loop == "open")
    lines = [
        f"A scenario may ask at most {allowed(speeds):,.0f} requests/s of one load process "
        f"({GENERATOR_LIMIT:.0%} of a core); {kept:,.0f} requests/s were kept here."
    ]
    if any(not s.bottleneck for s in speeds):
        lines.append(
            "Where the server without a model was the limit, 1/CPU is what the load process "
            "would reach beside a faster one, with a core to itself."
        )
    return "\n".join(lines)
