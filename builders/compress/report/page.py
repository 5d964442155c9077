"""The report as one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from builders.compress.report.plots import Tried, layer_plot, pareto_plot, plotly_script
from builders.compress.report.rows import (
    GRAPH_HEADINGS,
    graph_rows,
    headings,
    headline,
    rows,
    test_line,
)
from builders.compress.result import ChainResult

_STYLE = """
:root { color-scheme: light dark; --line: #d5dae0; --soft: #5c6670; --kept: #1b7a45;
  --out: #b3303f; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4149; --soft: #9aa5b1; --kept: #5fce8f; --out: #ff8a96; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.headline { font-size: 1.1rem; max-width: 50rem; }
.note { color: var(--soft); font-size: .9rem; max-width: 50rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums;
  width: 100%; }
th, td { padding: .35rem .45rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; }
th:first-child, td:first-child, .verdict { text-align: left; }
th:first-child, td:first-child { position: sticky; left: 0; background: Canvas; }
.verdict { white-space: normal; min-width: 16rem; }
.out { color: var(--soft); } .kept .verdict { color: var(--kept); }
.out .verdict { color: var(--out); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""


def page(
    result: ChainResult,
    about: Mapping[str, str],
    front: Sequence[Tried],
    test: Mapping[str, Any] | None,
    export: Mapping[str, Any],
) -> str:
    """Everything that is known of a chain; all texts are escaped."""
    title = f"Compression of {escape(about['name'])}"
    body = "\n".join(_body(result, about, front, test, export))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n"
        f"<script>{plotly_script()}</script></head>\n"
        f"<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def _body(
    result: ChainResult,
    about: Mapping[str, str],
    front: Sequence[Tried],
    test: Mapping[str, Any] | None,
    export: Mapping[str, Any],
) -> Iterator[str]:
    yield f'<p class="headline">{escape(headline(result))}</p>'
    if test:
        yield f'<p class="headline">{escape(test_line(test))}</p>'
    yield "<h2>Every pass</h2>"
    yield _passes(result)
    yield (
        '<p class="note">A pass is kept when it holds both gates: NDCG@10 against the '
        "uncompressed ranker, and the time against the model before it, measured in alternation. "
        "A pass that was left out shows its own figures; the next one starts from the last that "
        "was kept. Operations are multiply-adds of one request.</p>"
    )
    yield "<h2>Latency against quality</h2>"
    yield pareto_plot(result, front)
    if graphs := list(graph_rows(export)):
        yield "<h2>Graphs for the gpu profile</h2>"
        yield _table(GRAPH_HEADINGS, [("", cells) for cells in graphs])
    for p in result.passes:
        if p.layers:
            yield f"<h2>{escape(p.name)}: {escape(p.layers_title)}</h2>"
            yield layer_plot(p)
    yield "<h2>About</h2><dl>"
    for name, value in about.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"


def _passes(result: ChainResult) -> str:
    start, *passes = rows(result)
    found = [("kept" if row.kept else "out", row.cells) for row in passes]
    found.insert(0, ("", start.cells))
    return _table(headings(result), found, last="verdict")


def _table(
    titles: Sequence[str], found: Sequence[tuple[str, Sequence[str]]], last: str = ""
) -> str:
    """Rows as (class, cells); ``last`` is the class of the last column."""
    head = _cells("th", titles, last)
    body = "\n".join(
        f'<tr class="{name}">{_cells("td", cells, last)}</tr>' for name, cells in found
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>'
        "</table></div>"
    )


def _cells(tag: str, cells: Sequence[str], last: str) -> str:
    *front, end = (escape(cell) for cell in cells)
    return "".join(f"<{tag}>{c}</{tag}>" for c in front) + f'<{tag} class="{last}">{end}</{tag}>'
