"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from builders.compress.report.rows import (
    GRAPH_HEADINGS,
    graph_rows,
    headings,
    headline,
    rows,
    test_line,
)
from builders.compress.result import ChainResult

_ESCAPED = str.maketrans({"|": r"\|", "<": "&lt;", ">": "&gt;", "\n": " "})


def markdown(
    result: ChainResult,
    about: Mapping[str, str],
    test: Mapping[str, Any] | None,
    export: Mapping[str, Any],
) -> str:
    """The headline, one row for each pass, and the gpu profile's graphs where there are any."""
    lines = [f"# Compression of {_text(about['name'])}", "", headline(result), ""]
    if test:
        lines += [test_line(test), ""]
    lines += _table(headings(result), [row.cells for row in rows(result)])
    if graphs := list(graph_rows(export)):
        lines += ["", "Graphs for the gpu profile:", "", *_table(GRAPH_HEADINGS, graphs)]
    lines.append("")
    lines += [f"- {_text(name)}: {_text(v)}" for name, v in about.items() if name != "name"]
    return "\n".join([*lines, ""])


def _table(titles: Sequence[str], found: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _line(titles)
    yield "|" + "---|" * len(titles)
    for cells in found:
        yield _line(cells)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(text: str) -> str:
    return text.translate(_ESCAPED)
