"""What a run of a scenario missed of its objective, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from loadtest.objective import Verdict
from loadtest.record import RunRecord
from loadtest.tables import table_of


def verdict_table(run: RunRecord, verdicts: Sequence[Verdict]) -> Table:
    """Every condition, what was reached, and what was missed by how much."""
    table = table_of(f"{run.scenario}: {run.loop} loop, seed {run.seed}", "wanted", "got", "missed")
    for column in table.columns[2:]:
        column.no_wrap = False  # sentences
    for v in verdicts:
        table.add_row(v.name, v.wanted, v.got, v.missed, style="red" if v.missed else None)
    table.caption = (
        f"load process: {run.generator_share:.0%} of a core, at most "
        f"{run.generator_ceiling:,.0f} requests/s; 99 % left within {run.late_p99_ms:.1f} ms"
    )
    return table
