"""The quality table as rows, as JSON and for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from builders.dataset.dataset import Part
from builders.evaluation.cold_start_table import ColdStart
from builders.evaluation.metrics import Metrics

if TYPE_CHECKING:  # A release is inspected without PyTorch.
    from builders.compress.gates import QualityChange

PARTS: tuple[Part, ...] = ("validation", "test")
ALL = "all"
"""Ranked among the whole catalogue."""


@dataclass(frozen=True)
class QualityRow:
    """One method on both held-out parts; ``ranked`` says among which items."""

    method: str
    ranked: str
    validation: Metrics
    test: Metrics


def render(rows: Sequence[QualityRow]) -> Table:
    """For a terminal of 80 columns; the best figure of full ranking in each column is bold."""
    table = Table(
        title="Quality on held-out events (seen items excluded)",
        caption="Ranked are all items, or the retrieved candidates only. Validation events chose "
        "the epoch, fitted the head and gated compression; test events did nothing of it.",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("\n\nmethod", no_wrap=True)
    table.add_column("\n\nranked", justify="right", no_wrap=True)
    for part in PARTS:
        for name in ("HR\n@5", "HR\n@10", "NDCG\n@5", "NDCG\n@10"):
            table.add_column(f"{part[:5]}\n{name}", justify="right", no_wrap=True)
    figures = [_figures(row) for row in rows]
    full = [f for f, row in zip(figures, rows, strict=True) if row.ranked == ALL]
    best = [max(column) for column in zip(*full, strict=True)]
    for row, values in zip(rows, figures, strict=True):
        shown = [
            f"[bold]{_short(value)}[/]" if row.ranked == ALL and value == top else _short(value)
            for value, top in zip(values, best, strict=True)
        ]
        table.add_row(row.method, row.ranked, *shown)
    return table


def _short(share: float) -> str:
    return f"{share:.4f}".removeprefix("0")[:5]


def _figures(row: QualityRow) -> list[float]:
    return [*asdict(row.validation).values(), *asdict(row.test).values()]


def write_quality(
    rows: Sequence[QualityRow], path: Path, change: QualityChange, cold: ColdStart | None = None
) -> None:
    """As JSON; ``change`` is what compression did to NDCG@10 on the test split."""
    content: dict[str, Any] = {"rows": [asdict(row) for row in rows], "compressed": asdict(change)}
    if cold is not None:
        content["cold_start"] = cold.to_json()
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def rows_of(raw: Sequence[Mapping[str, Any]]) -> list[QualityRow]:
    """Out of plain data, as in a manifest."""
    return [
        QualityRow(r["method"], r["ranked"], Metrics(**r["validation"]), Metrics(**r["test"]))
        for r in raw
    ]
