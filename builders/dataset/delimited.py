"""Delimited text files as Ibis tables in which every column is text."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import ibis
from ibis.expr.types import Table

from ensembles.errors import DataError

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


ROW = "__row__"
"""Column with the position of a row in its file: a name that no source uses."""


@dataclass(frozen=True)
class Lines:
    """A file that was read.

    Attributes:
        rows: every column as text, and ``__row__``: int64 position in the file, from 0.
        malformed: ``line`` int64 and ``text``: lines that do not split into the columns.
    """

    rows: Table
    malformed: Table


def read_delimited(con: Any, path: Path, *, delimiter: str, typed_header: bool = False) -> Lines:
    """Read a text file with a header.

    Args:
        con: an Ibis DuckDB connection.
        delimiter: one character. Tabs mean that quotes are ordinary characters.
        typed_header: names in the header are ``name:type`` (RecBole); the type is cut off.

    Raises:
        DataError: empty, not UTF-8, another delimiter, no or repeated column names, an open quote.
    """
    quote = "" if delimiter == "\t" else '"'
    columns = _header(path, delimiter, typed_header)
    rejects = f"malformed_{uuid4().hex}"
    try:
        raw = con.read_csv(
            path,
            columns=dict.fromkeys(columns, "VARCHAR"),
            auto_detect=False,
            header=True,
            delim=delimiter,
            quote=quote,
            escape=quote,
            # Lines that do not fit go to a table of their own instead of ending the read.
            store_rejects=True,
            rejects_limit=0,
            rejects_table=rejects,
            rejects_scan=f"scan_{rejects}",
        )
        # DuckDB keeps the order of the file, also when it reads in parallel.
        rows = raw.mutate(**{ROW: ibis.row_number()}).cache()
        errors = con.table(rejects, database=("temp", "main"))
        _check_errors(path, errors)
    except duckdb.Error as e:
        reason = str(e).splitlines()[0]
        raise DataError(f"{path} cannot be read as delimited text: {reason}") from e
    malformed = errors.group_by("line").aggregate(text=errors.csv_line.min())
    return Lines(rows, malformed.cast({"line": "int64"}).cache())


def _header(path: Path, delimiter: str, typed: bool) -> list[str]:
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 20).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as e:
        raise DataError(f"{path}, line 1, is not UTF-8; convert the file to UTF-8") from e
    except OSError as e:
        raise DataError(f"cannot read {path}: {e.strerror}") from e
    if not first.strip():
        raise DataError(f"{path} is empty; expected a header line with column names, then rows")
    if delimiter == "\t":
        names = first.split(delimiter)
    else:
        names = next(csv.reader([first], delimiter=delimiter))
    other = [d for d in _DELIMITERS if d != delimiter and d in first]
    if len(names) == 1 and other:
        raise DataError(
            f"{path}: expected {_DELIMITERS[delimiter]} between columns, but the header looks "
            f"separated by {_DELIMITERS[other[0]]}: {first[:80]!r}; convert the file"
        )
    names = [name.strip().split(":")[0] if typed else name.strip() for name in names]
    if "" in names or len({name.casefold() for name in names}) < len(names):
        raise DataError(f"{path}: column names must be given and differ; the header is {names}")
    return names


def _check_errors(path: Path, errors: Table) -> None:
    """End the read for errors that cost more than their own line."""
    line = _first_line(errors.filter(errors.error_type == "INVALID ENCODING"))
    if line is not None:
        raise DataError(f"{path}, line {line}, is not UTF-8; convert the file to UTF-8")
    line = _first_line(errors.filter(errors.csv_line.strip().contains("\n")))
    if line is not None:
        raise DataError(
            f"{path}: a quote opened in line {line} swallows the lines after it; close it there"
        )


def _first_line(errors: Table) -> int | None:
    line: int | None = errors.line.min().to_pyarrow().as_py()
    return line
