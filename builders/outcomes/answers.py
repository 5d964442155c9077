"""Impressions joined with the events that answer them, counted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibis.expr.types import Table

from builders.outcomes.exported import exported

Row = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """Counts of distinct impressions: an item of an answer counts once.

    Attributes:
        releases: ``release``, ``shown``, ``clicks``, ``requests``, ``users``, ``items``, ``cold``
            and ``told`` (requests that were cold starts, and that say whether), ``first`` and
            ``last`` (seconds), by release.
        explored: ``explored``, ``shown``, ``clicks``: of the impressions that say whether their
            slot was given to exploration; first those that were not.
        positions: ``release``, ``position``, ``shown``, ``clicks``, in this order.
        events: how many impressions were answered by a type of event, by type.
        unmatched: answered items whose impression was not exported, as where it was not sampled.
    """

    releases: list[Row]
    explored: list[Row]
    positions: list[Row]
    events: dict[str, int]
    unmatched: int


def count_answers(folder: Path, clicks: Collection[str], ignored: Collection[str]) -> Counts:
    """Count what lies in ``folder``.

    Args:
        folder: of files with events; impressions lie among them, or in ``impressions-*.parquet``.
        clicks: types of events that are a click; empty for all but ``ignored``.

    Raises:
        DataError: there are no impressions, or a file cannot be read or lacks a column.
    """
    with exported(folder) as (shown, answers):
        wanted = answers.event.isin(clicks) if clicks else answers.event.notin(ignored)
        clicked = answers.filter(wanted).select("request_id", "item_id").distinct()
        key = ["request_id", "item_id"]
        marked = shown.left_join(clicked.mutate(clicked=True), key)
        marked = marked.mutate(clicked=marked.clicked.fill_null(False)).cache()
        by_event = answers.semi_join(shown, key).group_by("event")
        found = by_event.aggregate(rows=lambda t: t.count()).order_by("event")
        return Counts(
            _rows(_by_release(marked)),
            _rows(_by_exploration(marked)),
            _rows(_by_position(marked)),
            {row["event"]: row["rows"] for row in _rows(found)},
            _count(clicked.anti_join(shown, key)),
        )


def _by_release(marked: Table) -> Table:
    return (
        marked.group_by("release")
        .aggregate(
            shown=marked.count(),
            clicks=marked.clicked.sum(),
            requests=marked.request_id.nunique(),
            users=marked.user_id.nunique(),
            items=marked.item_id.nunique(),
            cold=marked.request_id.nunique(where=marked.cold_start),
            told=marked.request_id.nunique(where=marked.cold_start.notnull()),
            first=marked.seconds.min(),
            last=marked.seconds.max(),
        )
        .order_by("release")
    )


def _by_exploration(marked: Table) -> Table:
    return (
        marked.filter(marked.explored.notnull())
        .group_by("explored")
        .aggregate(shown=lambda t: t.count(), clicks=lambda t: t.clicked.sum())
        .order_by("explored")
    )


def _by_position(marked: Table) -> Table:
    return (
        marked.group_by(["release", "position"])
        .aggregate(shown=marked.count(), clicks=marked.clicked.sum())
        .order_by(["release", "position"])
    )


def _count(table: Any) -> int:
    return int(table.count().to_pyarrow().as_py())


def _rows(table: Table) -> list[Row]:
    found: list[Row] = table.to_pyarrow().to_pylist()
    return found
