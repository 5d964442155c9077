"""Recommendations as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table

from serving.messages import Recommendation


def recommendation_table(user: str, answer: Recommendation, titles: Mapping[str, str]) -> Table:
    """Ranks, ids, titles and scores, best first."""
    table = Table(
        title=f"{len(answer.items)} recommendations for user {user}",
        caption=f"release {answer.release}, answered in {answer.seconds * 1000:.2f} ms",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption_justify="left",
    )
    table.add_column("", justify="right")
    table.add_column("item", no_wrap=True)
    table.add_column("title")
    table.add_column("score", justify="right")
    for rank, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), 1):
        table.add_row(str(rank), item, titles.get(item, ""), f"{score:.3f}")
    return table
