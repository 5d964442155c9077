"""Recommendations as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from serving.messages import Recommendation

_DEGRADED = "degraded: the server could not read the user state, so it knows nothing of the user"


def recommendation_table(
    user: str, answer: Recommendation, titles: Mapping[str, str], *, picture: str = ""
) -> Table:
    """Ranks, ids, titles and scores, best first.

    Args:
        picture: name of the picture that took part, if one did.
    """
    shown = f", and the picture {picture}" if picture else ""
    table = Table(
        title=Text(
            f"{len(answer.items)} recommendations for user {user}{shown}", style="table.title"
        ),
        caption=f"release {answer.release}, answered in {answer.seconds * 1000:.2f} ms",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption_justify="left",
    )
    if answer.degraded:
        table.caption = f"{table.caption}\n{_DEGRADED}"
    table.add_column("", justify="right")
    table.add_column("item", no_wrap=True)
    table.add_column("title")
    table.add_column("score", justify="right")
    for rank, (item, score) in enumerate(zip(answer.items, answer.scores, strict=True), 1):
        table.add_row(str(rank), Text(item), Text(titles.get(item, "")), f"{score:.3f}")
    return table
