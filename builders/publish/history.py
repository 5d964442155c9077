"""How a release came to be, out of its manifest, for the terminal.

Needs neither PyTorch nor the data; manifests of earlier versions are printed as far as they go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from builders.compress.report.rows import GRAPH_HEADINGS, graph_rows, test_line
from builders.compress.result import ChainResult
from builders.compress.result_table import result_table
from builders.dataset.settings import Data
from builders.evaluation.cold_start_table import ColdStart, render_cold_start
from builders.evaluation.quality_rows import render, rows_of
from builders.settings import Settings
from serving.manifest import check
from serving.repository import current_release


def print_release(repository: Path, *, raw: bool) -> None:
    """Check the current release and print its history, or its manifest as it is.

    Raises:
        ReleaseError: there is no release, or a file is not as published.
    """
    release = current_release(repository)
    manifest = check(repository, release)
    console = Console()
    if raw:  # Never wrapped.
        console.file.write(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        return
    found = Text(f"release {release} of {repository}: every file is as published")
    console.print(found, soft_wrap=True)
    console.print(*history(manifest), sep="\n")


def history(manifest: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Data, settings, stages, compression, quality, graphs, tools and the command."""
    figures = manifest.get("figures", {})
    data = {name: f"sha256 {digest[:16]}" for name, digest in manifest.get("data", {}).items()}
    yield _pairs("data", {**data, **manifest.get("trained_on", {})})
    if "retrained" in manifest:
        yield _pairs("compared with the release before", _compared(manifest["retrained"]))
    yield _pairs("settings that are not the default", _changed(manifest.get("settings", {})))
    yield _pairs("stages", manifest.get("stages", {}))
    if "tuned" in manifest:  # The trials are for machines.
        shown = {name: v for name, v in manifest["tuned"].items() if name != "trials"}
        yield _pairs("tuned under load", shown)
    if "compress" in figures:
        yield result_table(ChainResult.from_json(figures["compress"]))
    yield from _quality(figures.get("evaluate"))
    yield from _graphs(figures.get("export", {}))
    printed = ("compress", "evaluate", "export")
    for stage in (name for name in figures if name not in printed):
        if isinstance(figures[stage], dict):
            yield _pairs(stage, figures[stage])
    tools = {**manifest.get("tools", {}), "target": manifest.get("target", "unknown")}
    yield _pairs("tools", tools)
    count = len(manifest.get("files", {}))
    yield Text(f"{count} files; made again by: {manifest.get('command', 'unknown')}")


def _compared(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**{name: v for name, v in found.items() if name != "quality"}, **found["quality"]}


def _quality(found: Any) -> Iterator[RenderableType]:
    if not found:
        return
    # A list in releases from before there was compression.
    rows, change = (found["rows"], found.get("compressed")) if "rows" in found else (found, None)
    yield render(rows_of(rows))
    if change:
        yield Text(test_line(change))
    if "cold_start" in found:
        yield render_cold_start(ColdStart.from_json(found["cold_start"]))


def _graphs(export: Mapping[str, Any]) -> Iterator[RenderableType]:
    if "graphs" not in export:  # A release from before there were several.
        yield _pairs("export", export)
        return
    table = _table("graphs for the gpu profile", *GRAPH_HEADINGS)
    for cells in graph_rows(export):
        table.add_row(*(Text(cell) for cell in cells))
    yield table


def _changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What was set, by name as in the file; passes stand in a table of their own."""
    usual = Settings(name="usual", data=Data(format="csv")).model_dump(mode="json")
    found: dict[str, Any] = {}
    for section, values in settings.items():
        if not isinstance(values, Mapping):
            found[section] = values
            continue
        default = usual.get(section, {})
        for name, value in values.items():
            if (section, name) != ("compress", "passes") and value != default.get(name):
                found[f"{section}.{name}"] = value
    return found


def _pairs(title: str, values: Mapping[str, Any]) -> Table:
    table = _table(title, "", "")
    table.show_header = False
    for name, value in values.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(Text(name), Text(shown, overflow="fold"))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for column in columns:
        table.add_column(Text(column))
    return table
