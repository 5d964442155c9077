"""Events out of the log into Parquet files, each event once however often an export is cut off.

A file is named after the place in the log behind which it begins. It is whole before the cursor
moves on, and an export that was cut off in between writes the same file again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from ensembles.errors import DataError, MissingExtra
from serving.durable import replace_file, sync
from serving.event_log import EventLog, event_log

CURSOR = "cursor.json"
EVENTS_A_FILE = 100_000
_TEXTS = ("user_id", "item_id", "event", "event_id", "request_id")
_SMALL = ("position", "release")
_FLAGS = ("explored", "cold_start")


def export_events(url: str, out: Path) -> int:
    """Write the events of a user state's log that are not in ``out`` yet; how many.

    Columns: user_id, item_id, event, timestamp (seconds since the epoch), event_id, received
    (seconds, on the server's clock), and request_id, position, release, null where an event
    answers no recommendation; score and cold_start, null but for impressions;
    propensity and explored, null but for those of a release that explores.
    Rows and files are in the order in which events were stored.

    Raises:
        DataError: the log cannot be read, ``out`` cannot be written or holds another log, or
            another export into it is running.
        MissingExtra: pyarrow is not installed.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out), event_log(url) as log:
            return sum(_files(log, out))
    except OSError as e:
        raise DataError(
            f"cannot export events to {out}: {e.strerror} ({e.filename}); check permissions and "
            "free space, then export again"
        ) from e


def _files(log: EventLog, out: Path) -> Iterator[int]:
    """Write one file after the other, and say how many events are in each."""
    identity = log.raw.identity()
    place = place_of(out, identity) or log.raw.start
    with log.after(place) as lines:
        while some := list(islice(lines, EVENTS_A_FILE)):
            _write(out / f"events-{place}.parquet", [log.row_of(line) for _, line in some])
            place = some[-1][0]
            replace_file(out / CURSOR, json.dumps({"log": identity, "after": place}).encode())
            yield len(some)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other export writes the same files meanwhile."""
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as e:
        raise DataError(f"another export into {out} is running; wait for its end") from e
    finally:
        os.close(descriptor)


def place_of(out: Path, identity: str) -> str:
    """Where in the log the export into ``out`` stands; "" where there is none.

    Raises:
        DataError: the cursor is damaged, or that of another log.
    """
    try:
        cursor = json.loads((out / CURSOR).read_text(encoding="utf-8"))
        log, place = str(cursor["log"]), str(cursor["after"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise DataError(
            f"{out / CURSOR} is no cursor of an export ({e!r}); name another folder"
        ) from e
    if log != identity:
        raise DataError(
            f"{out} holds the events of another log than this state's, which was perhaps begun "
            "anew; export into another folder"
        )
    return place


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as e:
        raise MissingExtra("pyarrow", "build") from e
    types = dict.fromkeys(_TEXTS, pa.string()) | dict.fromkeys(_SMALL, pa.int32())
    types |= {
        "score": pa.float32(),
        "propensity": pa.float32(),
        **dict.fromkeys(_FLAGS, pa.bool_()),
    }
    schema = pa.schema([(name, types.get(name, pa.int64())) for name in rows[0]])
    partial = path.with_name(f".{path.name}.partial")
    parquet.write_table(pa.Table.from_pylist(list(rows), schema), partial)
    sync(partial)
    partial.replace(path)
    sync(path.parent)
