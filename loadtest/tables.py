"""Load tests as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from loadtest.budget import REFERENCE_MS, Budget, Part, reference_share
from loadtest.latency import SingleRequests
from loadtest.percentiles import Latency
from loadtest.smoke import LoadResult, ProtocolLoad

_WHAT = {
    Part.U: "request handling",
    Part.X: "preprocessing, features",
    Part.M: "ranker",
}


def load_table(result: LoadResult) -> Table:
    """Figures of each ensemble and protocol, and what the load process itself could have made."""
    table = table_of(
        f"Load: {result.users} users, closed loop",
        "req/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "errors",
        "generator max/s",
    )
    for load in result.loads:
        bound = " (limit)" if load.bottleneck else ""
        table.add_row(
            load.name,
            f"{load.requests_per_second:,.0f}",
            *_percentiles(load.latency),
            f"{load.failed:,}",
            f"{load.generator_ceiling:,.0f}{bound}",
        )
    # Below the table and not in it, where a sentence would take the room of the figures.
    messages = [
        f"{load.name}: {count:,} x {message}"
        for load in result.loads
        for message, count in list(load.errors.items())[:3]
    ]
    messages += [f"{load.name}: {load.bottleneck}" for load in result.loads if load.bottleneck]
    table.caption = Text("\n".join(messages))
    return table


def latency_table(measured: Sequence[SingleRequests]) -> Table:
    """One request at a time, a row for each ensemble and protocol."""
    table = table_of("One request at a time", "requests", "mean ms", "p50 ms", "p95 ms", "p99 ms")
    for found in measured:
        latency = found.latency
        table.add_row(
            found.name, f"{latency.count:,}", f"{latency.mean_ms:.2f}", *_percentiles(latency)
        )
    return table


def steps_table(found: SingleRequests) -> Table:
    """How much of one request each step takes; means in ms."""
    mean_ms = found.latency.mean_ms
    parts = {step.name: step.busy_ms for step in found.chain.steps}
    parts |= {"client, network, between steps": found.between_ms, "client's clock": mean_ms}
    table = table_of(f"{found.name}: one request", "ms", "share")
    for name, ms in parts.items():
        table.add_row(name, f"{ms:.2f}", f"{ms / mean_ms:.0%}")
    return table


BUDGET_HEADINGS = ("ms", "share", "P if halved", "queue", "reference")


def budget_table(load: ProtocolLoad) -> Table:
    """Every part with what it consists of, beside the reference case; means in ms."""
    table = table_of(f"{load.name}: P = f(U, X, M)", *BUDGET_HEADINGS)
    for cells, is_part in budget_rows(load.budget):
        table.add_row(*cells, style="bold" if is_part else None)
    return table


def budget_rows(budget: Budget) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Name and cells as in ``BUDGET_HEADINGS``; True for U, X and M, False for a detail."""
    for part in Part:
        yield (
            (
                f"{part} {_WHAT[part]}",
                f"{budget.part_ms(part):.2f}",
                f"{budget.share(part):.0%}",
                f"{budget.halved_ms(part):.2f}",
                "",
                f"{REFERENCE_MS[part]:.0f} ms {reference_share(part):.0%}",
            ),
            True,
        )
        if part is Part.U:
            yield _detail("round trip", budget.round_trip_ms, budget)
            yield _detail("queues and scheduling", budget.waiting_ms, budget)
        for step in budget.steps_of(part):
            yield _detail(step.name, step.busy_ms, budget, f"{step.queue_ms:.2f}")
    yield _detail("unexplained", budget.unexplained_ms, budget)
    total = sum(REFERENCE_MS.values())
    client = ("P client's clock", f"{budget.client_ms:.2f}", "100%", "", "", f"{total:.0f} ms 100%")
    yield client, False


def table_of(title: str, *columns: str) -> Table:
    """An empty table whose first column names the row."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _percentiles(latency: Latency) -> tuple[str, str, str]:
    return f"{latency.p50_ms:.2f}", f"{latency.p95_ms:.2f}", f"{latency.p99_ms:.2f}"


def _detail(name: str, ms: float, budget: Budget, queue: str = "") -> tuple[tuple[str, ...], bool]:
    return (f"  {name}", f"{ms:.2f}", f"{ms / budget.client_ms:.0%}", "", queue, ""), False
