"""Exported impressions, and the events that answer them, as tables where they lie (DuckDB)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis.expr.types import Table

from builders.dataset.rules import seconds_of
from builders.dataset.sources import connect
from builders.retrain.recorded import IMPRESSION, IMPRESSIONS, exported_files
from ensembles.errors import DataError

_SHOWN = {
    "request_id": "string",
    "user_id": "string",
    "item_id": "string",
    "position": "int64",
    "release": "int64",
    "cold_start": "boolean",
    "timestamp": "string",
    "explored": "boolean",
}
"""Columns of an impression."""
_MAY_MISS = ("cold_start", "explored")


@contextmanager
def exported(folder: Path) -> Iterator[tuple[Table, Table]]:
    """Impressions and answers in ``folder``, for as long as the block runs.

    Impressions, of each item of an answer one: the columns ``_SHOWN`` and ``seconds``. Answers:
    distinct ``request_id``, ``item_id``, ``event``.

    Raises:
        DataError: there are no impressions, or a file cannot be read or lacks a column; also in
            the block.
    """
    events = exported_files(folder)
    files = sorted(folder.glob(f"{IMPRESSIONS}*.parquet"))
    with tempfile.TemporaryDirectory() as spill:
        try:
            con = connect(Path(spill))
            tables = [_read(con, files), _read(con, events)]
            shown = _shown([_impressions(tables[0], folder), _among_events(tables[1], folder)])
            if not shown.count().to_pyarrow().as_py():
                raise DataError(
                    f"no impressions lie in {folder}; have the server log a share of its answers, "
                    "and export them with 'millirank events export'"
                )
            yield shown, _answers(tables[1])
        except duckdb.Error as e:
            reason = str(e).splitlines()[0]
            raise DataError(f"what was exported into {folder} cannot be read: {reason}") from e


def _read(con: Any, files: list[Path]) -> Any:
    names = [str(path) for path in files]
    return con.read_parquet(names, union_by_name=True) if names else None


def _among_events(raw: Any, folder: Path) -> Table:
    """Impressions that lie among events."""
    if raw is None or "event" not in raw.columns:
        return _impressions(None, folder)
    shown = raw.filter(_is_shown(raw))
    there = shown.count().to_pyarrow().as_py() > 0
    return _impressions(shown if there else None, folder)


def _is_shown(raw: Any) -> Any:
    return raw.event.cast("string") == IMPRESSION


def _impressions(raw: Any, folder: Path) -> Table:
    """The columns ``_SHOWN``."""
    if raw is None:
        return ibis.memtable([], schema=_SHOWN)
    missing = [name for name in _SHOWN if name not in (*raw.columns, *_MAY_MISS)]
    if missing:
        raise DataError(
            f"the impressions in {folder} have no column {', '.join(missing)}; they have "
            f"{', '.join(raw.columns)}; export them with 'millirank events export'"
        )
    table: Table = raw.select(
        **{
            name: raw[name].cast(kind) if name in raw.columns else ibis.null(kind)
            for name, kind in _SHOWN.items()
        }
    )
    return table


def _shown(parts: list[Table]) -> Table:
    """Each item of an answer once, with its time in seconds."""
    rows = ibis.union(*parts)
    nth = ibis.row_number().over(group_by=[rows.request_id, rows.item_id], order_by=rows.position)
    first = rows.mutate(nth=nth, seconds=seconds_of(rows.timestamp)).filter(lambda t: t.nth == 0)
    shown: Table = first.drop("nth").cache()
    return shown


def _answers(raw: Any) -> Table:
    """Distinct ``request_id``, ``item_id``, ``event``; none where events do not say what for."""
    names = ("request_id", "item_id", "event")
    if raw is None or any(name not in raw.columns for name in names):
        return ibis.memtable([], schema=dict.fromkeys(names, "string"))
    rows = raw.filter(~_is_shown(raw)).select(**{name: raw[name].cast("string") for name in names})
    answering: Table = rows.filter(rows.request_id.fill_null("") != "").distinct()
    return answering
