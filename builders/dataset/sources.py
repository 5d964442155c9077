"""Interaction logs as Ibis tables with canonical columns, whatever format they come in.

Everything is read as text; parsing is left to the cleaning rules, so that a value that cannot
be parsed is a rejected row and not a crash.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis.expr.types import StringValue, Table

from builders.dataset.delimited import ROW, Lines, read_delimited
from builders.dataset.location import SourceFiles
from builders.dataset.settings import Columns, Data
from ensembles.errors import DataError, did_you_mean

_MOVIELENS = Columns(
    user="userId",
    item="movieId",
    timestamp="timestamp",
    value="rating",
    title="title",
    categories="genres",
)


RECORDED = Columns(event="event")
"""Columns of recorded events."""


@dataclass(frozen=True)
class Source:
    """A log as it came, nothing cleaned yet.

    Attributes:
        events: ``user``, ``item``, ``timestamp``, ``event``, ``value`` as text (null where the
            source has no such column) and ``row``: int64 position in the file, from 0.
        malformed: ``line`` int64, ``text``: lines of the log that do not split into columns.
        items: ``item``, ``title``, ``categories``, ``text`` as text, or None.
        users: ``user`` and one text column per attribute, or None.
        columns: names in the source; an empty name means that it has none.
        feedback: recorded events, of the columns of ``events``, or None; ``row`` goes on there.
    """

    events: Table
    malformed: Table
    items: Table | None
    users: Table | None
    columns: Columns
    feedback: Table | None = None


def connect(folder: Path) -> Any:
    """The embedded Ibis backend (DuckDB in memory); ``folder`` takes what does not fit there."""
    return ibis.duckdb.connect(temp_directory=str(folder))


def open_source(con: Any, data: Data, files: SourceFiles) -> Source:
    """Read the files of a data set.

    A title, category or text column is looked for in the item file, else in the log.
    For format ``movielens`` the columns are those of GroupLens; the configured ones are ignored.

    Raises:
        DataError: a file is empty, unreadable, not UTF-8, or lacks a mapped column.
    """
    columns = data.columns
    if data.format == "movielens":
        columns = _MOVIELENS
        if files.items is None:
            columns = columns.model_copy(update={"title": "", "categories": ""})
    log = _read(con, files.events, data.format)
    events = _events(log.rows, columns, files.events)
    if not log.rows.count().to_pyarrow().as_py() + log.malformed.count().to_pyarrow().as_py():
        raise DataError(f"{files.events} has a header but no rows; nothing to learn from")
    source = Source(events, log.malformed, None, None, columns)
    if columns.title or columns.categories or columns.text:
        path = files.items or files.events
        table = _read(con, path, data.format).rows if files.items else log.rows
        source = replace(source, items=_items(table, columns, path))
    if files.feedback is not None:
        table = _events(_read_parquet(con, files.feedback).rows, RECORDED, files.feedback)
        source = replace(source, feedback=table.mutate(row=table.row + events.count().as_scalar()))
    if files.users is not None:
        table = _read(con, files.users, data.format).rows
        source = replace(source, users=_users(table, columns.user, files.users))
    return source


def _read(con: Any, path: Path, format_name: str) -> Lines:
    if format_name == "parquet":
        return _read_parquet(con, path)
    recbole = format_name == "recbole"
    return read_delimited(con, path, delimiter="\t" if recbole else ",", typed_header=recbole)


def _read_parquet(con: Any, path: Path) -> Lines:
    try:
        raw = con.read_parquet(path)
        # pandas turns integer ids with gaps into floats: 7.0 is the id "7".
        whole = {
            name: ibis.coalesce(
                (raw[name] == raw[name].floor())
                .ifelse(raw[name].try_cast("int64"), None)
                .cast(str),
                raw[name].cast(str),
            )
            for name, kind in raw.schema().items()
            if kind.is_floating()
        }
        rows = raw.mutate(**whole).cast(dict.fromkeys(raw.columns, "string"))
        rows = rows.mutate(**{ROW: ibis.row_number()}).cache()
    except (duckdb.Error, OSError) as e:
        reason = str(e).splitlines()[0]
        raise DataError(f"{path} cannot be read as Parquet: {reason}") from e
    none = ibis.memtable([], schema={"line": "int64", "text": "string"})
    return Lines(rows, none)


def _events(table: Table, columns: Columns, path: Path) -> Table:
    return table.select(
        user=_column(table, "user", columns.user, path, required=True),
        item=_column(table, "item", columns.item, path, required=True),
        timestamp=_column(table, "timestamp", columns.timestamp, path),
        event=_column(table, "event", columns.event, path),
        value=_column(table, "value", columns.value, path),
        row=table[ROW],
    )


def _items(table: Table, columns: Columns, path: Path) -> Table:
    return table.select(
        item=_column(table, "item", columns.item, path).strip(),
        title=_column(table, "title", columns.title, path),
        categories=_column(table, "categories", columns.categories, path),
        text=_column(table, "text", columns.text, path),
        row=table[ROW],
    )


def _users(table: Table, user: str, path: Path) -> Table:
    attributes = [c for c in table.columns if c not in (user, ROW) and c.casefold() != "user"]
    key = _column(table, "user", user, path).strip()
    return table.select(*attributes, user=key, row=table[ROW])


def _column(
    table: Table, role: str, name: str, path: Path, *, required: bool = False
) -> StringValue:
    """The column called ``name``; null text where the name is empty."""
    if not name and not required:
        return ibis.null("string")
    known = [column for column in table.columns if column != ROW]
    if name not in known:
        absent = "" if required else f" (or set {role} = '' if there is none)"
        raise DataError(
            f"{path} has no column {name!r}, which [data.columns] {role} names{absent}; it has "
            f"{', '.join(known)}.{did_you_mean(name, known)}"
        )
    column: StringValue = table[name]
    return column
