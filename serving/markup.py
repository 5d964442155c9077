"""Tables and the frame of the page; every text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

# Nothing is fetched, whatever stands in a text.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
_STYLE = """
:root { color-scheme: light dark; --line: #d5dae0; --soft: #5c6670; --good: #1b7a45;
  --bad: #b3303f; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4149; --soft: #9aa5b1; --good: #5fce8f; --bad: #ff8a96; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; }
.note { color: var(--soft); font-size: .9rem; max-width: 46rem; margin: .3rem 0 .6rem; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left;
  white-space: pre-wrap; min-width: 6rem; }
.verdicts td { white-space: normal; max-width: 18rem; }
.verdicts td:last-child, .verdicts th:last-child { text-align: left; }
.texts td:first-child { overflow-wrap: anywhere; }
.fits { min-width: 60rem; }
.fits th, .fits td { white-space: normal; vertical-align: bottom; }
.fits th:first-child, .fits td:first-child { min-width: 0; }
.good, .good td:first-child { color: var(--good); } .bad td, .bad { color: var(--bad); }
.part td { font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { body { font-size: 15px; } dl { display: block; }
  dd { margin-bottom: .4rem; } th, td { padding-right: .45rem; } }
"""


def document(title: str, script: str, body: Iterable[str]) -> str:
    """A whole page; ``body`` is HTML already."""
    joined = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f"<script>{script}</script></head>\n<body>{joined}\n</body></html>\n"
    )


def heading(text: str, note: str = "") -> str:
    """Of a section."""
    about = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<h2>{escape(text)}</h2>{about}"


def table(titles: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], name: str = "") -> str:
    """Rows as (class, cells)."""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "\n".join(
        f'<tr class="{style}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for style, cells in rows
    )
    return (
        f'<div class="wide"><table class="{name}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def facts(known: Mapping[str, str]) -> str:
    """Names with what is known of them."""
    pairs = (f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in known.items())
    return f"<dl>{''.join(pairs)}</dl>"
