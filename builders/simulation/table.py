"""The table of a simulation, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table

from builders.simulation.measures import MEASURES, Estimate
from builders.simulation.plan import OFF, TITLES
from builders.simulation.result import Result

_SHARES = ("click_rate", "found", "coverage", "popular_share")
_SHORT = {  # clicks of impressions are a tenth of the clicks a request
    "ndcg10": "NDCG\n@10",
    "clicks_per_request": "clicks a\nrequest",
    "found": "found\nso far",
    "coverage": "cover-\nage",
    "gini": "Gini",
    "popular_share": "top 10 %\nitems",
}


def rendered(found: Result) -> Table:
    """For a terminal of 80 columns; the intervals stand in the files."""
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    for title in ("\nround", "\narm", "re-\nlease"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in _SHORT.values():
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("\nthen", justify="right", no_wrap=True)
    for number, arm, release, figures, outcome in _rows(found):
        short = [_text(key, figures[key].value) for key in _SHORT]
        table.add_row(number, arm, release, *short, outcome)
    return table


def markdown(found: Result) -> str:
    """Tables with 95 % intervals: every round, and what exploration changed."""
    heads = ["round", "arm", "release", *(t for t, _ in MEASURES.values()), "then"]
    lines = _table(
        heads,
        [
            [
                number,
                TITLES[arm],
                release,
                *(_interval(k, of) for k, of in figures.items()),
                outcome,
            ]
            for number, arm, release, figures, outcome in _rows(found)
        ],
    )
    heads = ["round", *(title for title, _ in MEASURES.values())]
    for arm, rounds in found.rounds.items():
        if arm == OFF:
            continue
        rows = [
            [str(number), *(_interval(key, of, "+") for key, of in one.difference.items())]
            for number, one in enumerate(rounds)
        ]
        title = f"{TITLES[arm].capitalize()}, minus {TITLES[OFF]}, paired by user:"
        lines += ["", title, "", *_table(heads, rows)]
    return "\n".join(lines) + "\n"


def _rows(found: Result) -> Iterator[tuple[str, str, str, dict[str, Estimate], str]]:
    for number in range(found.plan.rounds):
        for arm, rounds in found.rounds.items():
            one = rounds[number]
            yield str(number), arm, str(one.release), dict(one.figures), one.outcome


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *rows]]


def _text(key: str, value: float, sign: str = "") -> str:
    if key in _SHARES:
        return f"{100 * value:{sign}.1f} %"
    return f"{value:{sign}.3f}"


def _interval(key: str, of: Estimate, sign: str = "") -> str:
    low, high = (_text(key, value, sign) for value in (of.low, of.high))
    return f"{_text(key, of.value, sign)} ({low.removesuffix(' %')} to {high.removesuffix(' %')})"
