"""Where the time of traced requests went, for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from loadtest.budget import PART_OF_STEP, Budget, Part
from loadtest.record import RunRecord
from loadtest.spent import Spent, Traced
from loadtest.tables import table_of

_CLIENT, _ROUND_TRIP, _UNEXPLAINED = "P client's clock", "round trip", "unexplained"


def print_traced(console: Console, run: RunRecord, otlp: str) -> None:
    """The tables of a run's traces, and what p50 and p99 are made of."""
    found = run.traced
    if found is None:
        why = f"Triton sends its traces to {otlp} alone" if otlp else "there are no traces"
        console.print(f"p50 and p99 are not taken apart: {why}", highlight=False, soft_wrap=True)
        return
    console.print(traced_table(found, run.budgets), slowest_table(found))
    for spent in (found.median, found.tail):
        console.print(spent.sentence(), highlight=False, soft_wrap=True)


def traced_table(found: Traced, budgets: Mapping[str, Budget]) -> Table:
    """U, X, M and what they consist of at p50 and p99, beside the means of all requests."""
    columns = (_means(budgets), _of_spent(found.median), _of_spent(found.tail))
    table = table_of(
        "Where p50 and p99 come from", "mean ms", "share", "p50 ms", "share", "p99 ms", "share"
    )
    names = dict.fromkeys([_ROUND_TRIP, *found.tail.pieces(), *found.median.pieces()])
    for part in Part:
        _add(table, part, columns, "bold")
        for name in names:
            if PART_OF_STEP.get(name, Part.U) is part:
                _add(table, name, columns)
    _add(table, _UNEXPLAINED, columns)
    _add(table, _CLIENT, columns, "bold")
    split = "" if found.stages_measured else "; stages of the joined model split as in the mean"
    table.caption = (
        f"{found.how_many}; p50: the mean of "
        f"{found.median.requests} around it, p99: of the {found.tail.requests} slowest{split}"
    )
    return table


def slowest_table(found: Traced) -> Table:
    """Single requests, each with all it spent; ms."""
    table = table_of("The slowest requests", *(f"{spent.client_ms:.1f}" for spent in found.slowest))
    columns = [spent.pieces() for spent in found.slowest]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(f"{c[name]:.2f}" if name in c else "" for c in columns))
    table.caption = "; ".join(spent.about for spent in found.slowest)
    return table


def _add(table: Table, name: str, columns: Sequence[Mapping[str, float]], style: str = "") -> None:
    cells = []
    for column in columns:
        ms, whole = column.get(name), column.get(_CLIENT)
        cells += ["", ""] if ms is None or not whole else [f"{ms:.2f}", f"{ms / whole:.0%}"]
    table.add_row(name if style else f"  {name}", *cells, style=style)


def _of_spent(spent: Spent) -> dict[str, float]:
    parts = {part: spent.part_ms(part) for part in Part}
    return {**parts, **spent.pieces(), _CLIENT: spent.client_ms}


def _means(budgets: Mapping[str, Budget]) -> dict[str, float]:
    """Over the requests of all ensembles."""
    sums: Counter[str] = Counter()
    requests = sum(budget.chain.ensemble.count for budget in budgets.values())
    for budget in budgets.values():
        of = {part: budget.part_ms(part) for part in Part}
        queues = {f"queueing before {s.name}": s.queue_ms for s in budget.chain.steps if s.queue_ms}
        busy = {step.name: step.busy_ms for step in budget.chain.steps}
        rest = {_ROUND_TRIP: budget.round_trip_ms, _UNEXPLAINED: budget.unexplained_ms}
        every = {**of, **queues, **busy, **rest, _CLIENT: budget.client_ms}
        weight = budget.chain.ensemble.count / requests
        sums.update({name: ms * weight for name, ms in every.items()})
    return dict(sums)
