"""A chain of passes as a table for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from builders.compress.report.rows import UNCOMPRESSED, headline
from builders.compress.result import ChainResult, Figures


def result_table(result: ChainResult) -> Table:
    """Every pass with its figures, for 80 columns; reasons stand below the table."""
    table = Table(
        title=Text("Compression: every pass held against both gates"),
        title_justify="left",
        caption=Text("\n".join(_notes(result))),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("\npass", no_wrap=True, overflow="ellipsis", max_width=20)
    for heading in ("params\nM", "\nMB", "Mops\n", "ms at\n1", f"ms at\n{result.batch}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("NDCG\n@10", "change\n%", "95 %\ninterval", "\nkept"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row(UNCOMPRESSED, *_cells(result.base), "", "", "")
    for p in result.passes:
        if p.figures is None:
            cells = [""] * 8
        else:
            f = p.figures
            interval = f"{100 * f.low:+.1f} {100 * f.high:+.1f}"
            cells = [*_cells(f), f"{100 * f.change:+.2f}", interval]
        table.add_row(
            Text(p.name),
            *cells,
            "yes" if p.kept else "no",
            style="bold" if p.kept else "dim",
        )
    return table


def _notes(result: ChainResult) -> list[str]:
    left = [f"{p.name} is left out: {p.reason}." for p in result.passes if not p.kept]
    return [headline(result), *left]


def _cells(f: Figures) -> tuple[str, ...]:
    return (
        _short(f.parameters / 1e6),
        _short(f.bytes / 1e6),
        _short(f.operations / 1e6),
        _short(f.single_ms),
        _short(f.batch_ms),
        f"{f.ndcg10:.4f}".removeprefix("0"),
    )


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
