"""Writes the report's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.compress.report.markdown import markdown
from builders.compress.result import ChainResult

if TYPE_CHECKING:
    from builders.compress.report.plots import Tried

HTML, MARKDOWN = "compression.html", "compression.md"


def write_report(
    result: ChainResult,
    about: Mapping[str, str],
    folder: Path,
    front: Sequence[Tried] = (),
    test: Mapping[str, Any] | None = None,
    export: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``compression.html`` and ``compression.md`` into an existing folder.

    Args:
        about: ``name`` of the build, and whatever else a reader should know.
        front: what a search tried.
        test: ``ndcg10``, ``change``, ``low`` and ``high`` on the test split.
        export: the manifest's figures of the stage ``export``: the gpu profile's graphs.

    Returns:
        The HTML file.
    """
    # Here, so that a release can be inspected without plotly.
    from builders.compress.report.page import page

    text = markdown(result, about, test, export or {})
    (folder / MARKDOWN).write_text(text, encoding="utf-8")
    path = folder / HTML
    path.write_text(page(result, about, front, test, export or {}), encoding="utf-8")
    return path
