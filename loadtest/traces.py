"""Triton's traces of single requests: JSON records in files, read one after the other.

A trace is told in several records: one names the model, and one each holds a moment of it, in ns
of the monotonic clock, which is also that of ``time.perf_counter`` on the same machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensembles.errors import LoadTestError

_PIECE = 1 << 16
_LONGEST = 10_000
"""Characters of a record; it is about 100."""
_EXPECTED = "expected Triton's records of traces"
_BETWEEN = re.compile(r"[\s,\[\]]*")


@dataclass
class Trace:
    """A request in one model.

    Attributes:
        parent: trace of the ensemble that asked; None for what a client asked.
        ns: moments by event.
    """

    model: str = ""
    request_id: str = ""
    parent: int | None = None
    ns: dict[str, int] = field(default_factory=dict)


def records(pieces: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Objects of a JSON list that comes in pieces; one that is cut off at the end is left out.

    Raises:
        LoadTestError: the text is something else.
    """
    decoder, text = json.JSONDecoder(), ""
    for piece in pieces:
        text += piece
        at = _skip(text, 0)
        while at < len(text):
            try:
                found, end = decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                found = None
            if text[at] != "{" or (found is None and len(text) - at > _LONGEST):
                raise LoadTestError(f"{_EXPECTED}, got {text[at : at + 40]!r}")
            if found is None:
                break  # the rest of it is in the next piece
            yield found
            at = _skip(text, end)
        text = text[at:]


def _skip(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    return between.end() if between else at


def read_traces(files: Iterable[Path]) -> dict[int, Trace]:
    """Every trace by its id.

    Raises:
        LoadTestError: a file cannot be read, or holds something else.
    """
    traces: dict[int, Trace] = {}
    try:
        for file in files:
            for record in records(_pieces(file)):
                trace = traces.setdefault(record["id"], Trace())
                if "model_name" in record:
                    trace.model = record["model_name"]
                    trace.request_id = record.get("request_id", "")
                    trace.parent = record.get("parent_id")
                for moment in record.get("timestamps", ()):
                    trace.ns[moment["name"]] = moment["ns"]
    except (OSError, KeyError, TypeError, UnicodeDecodeError) as e:
        raise LoadTestError(f"{_EXPECTED}, got {e!r}") from e
    return traces


def _pieces(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as opened:
        while piece := opened.read(_PIECE):
            yield piece
