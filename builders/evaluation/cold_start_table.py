"""The cold-start table as rows, as JSON and for the terminal; needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table


@dataclass(frozen=True)
class ColdRow:
    """NDCG@10 of a method, or a difference of two, with a 95 % bootstrap interval over users."""

    method: str
    ndcg10: float
    low: float
    high: float


@dataclass(frozen=True)
class ColdStart:
    """How held-out items are ranked among each other.

    Attributes:
        items: held-out items that are ranked: those with all that is fused.
        held_out: all held-out items.
        queries: events of the ranked items.
        users: who they are of.
        rows: one for each method.
        difference: picture and text minus text alone, of the same events; None where not both
            are fused.
    """

    items: int
    held_out: int
    queries: int
    users: int
    rows: tuple[ColdRow, ...]
    difference: ColdRow | None

    def verdict(self) -> str:
        """Whether pictures add anything over text; empty where that was not measured."""
        found = self.difference
        if found is None:
            return ""
        if found.low > 0:
            what = "Pictures add to what texts tell"
        elif found.high < 0:
            what = "Pictures take away from what texts tell"
        else:
            what = "Pictures add nothing over texts that could be told from chance"
        return (
            f"{what}: picture + text minus text is {found.ndcg10:+.4f} NDCG@10 "
            f"(95 % interval {found.low:+.4f} to {found.high:+.4f})."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ColdStart:
        """Out of what ``to_json`` gave."""
        rows = tuple(ColdRow(**row) for row in raw["rows"])
        difference = ColdRow(**raw["difference"]) if raw["difference"] else None
        return cls(**{**raw, "rows": rows, "difference": difference})


def render_cold_start(found: ColdStart) -> Table:
    """For a terminal of 80 columns."""
    table = Table(
        title="Items without a history: held-out items ranked among each other",
        caption=f"{found.items} of {found.held_out} held-out items, {found.queries:,} events of "
        f"{found.users:,} users; the intervals are of a bootstrap over users. Hindsight counts "
        f"the very events that are asked for: a bar to look at. {found.verdict()}",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("method ")
    for name in ("NDCG@10", " 95 % from", " to"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(row.method, *(f"{x:.4f}" for x in (row.ndcg10, row.low, row.high)))
    return table
