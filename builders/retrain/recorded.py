"""Exported events, read once: which are usable, and which of them a new release may learn from."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Table
from numpy.typing import NDArray

from builders.dataset.clean import recorded
from builders.dataset.rules import parse, row_rules
from builders.dataset.settings import Feedback
from builders.dataset.sources import RECORDED, connect
from builders.settings import Settings
from ensembles.errors import BuildError, DataError

IMPRESSIONS = "impressions-"
"""How the names of files with nothing but impressions begin; they lie in the same folder."""
IMPRESSION = "impression"
"""Type of event of an item that was shown."""
_COLUMNS = ("user_id", "item_id", "event", "timestamp")


@dataclass(frozen=True)
class Recorded:
    """E distinct events, in the order of time.

    Attributes:
        rows: ``user_id``, ``item_id`` without blanks around them, ``event`` and ``timestamp``
            as they came; all text.
        seconds: int64 [E] seconds since the epoch, 0 where ``usable`` is not.
        usable: bool [E], held by every cleaning rule that looks at one row.
    """

    rows: pa.Table
    seconds: NDArray[np.int64]
    usable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.seconds)

    @cached_property
    def newest(self) -> int:
        """Seconds of the newest usable event; the smallest number where there is none."""
        return int(self.seconds[self.usable].max(initial=np.iinfo(np.int64).min))

    def cut(self, since: int, settings: Feedback) -> int | None:
        """The last second that a new release learns from; what comes after is held out.

        Args:
            since: the last second that the current release learned from.

        Returns:
            None where no usable event after ``since`` would be left to learn from.
        """
        fresh = np.sort(self.seconds[self.usable & (self.seconds > since)])
        if not len(fresh):
            return None
        if settings.window_hours:
            last = self.newest - round(settings.window_hours * 3600)
        else:
            held = max(math.ceil(len(fresh) * settings.window - 1e-9), 1)
            last = int(fresh[-held]) - 1  # Events of one second stay together, in the window.
        return last if last >= fresh[0] else None

    def after(self, second: int) -> NDArray[np.bool_]:
        """bool [E]: the usable events after ``second``."""
        return self.usable & (self.seconds > second)

    def write_until(self, second: int, path: Path) -> int:
        """Write what is not ``after`` it, for the log of a build; the same events, the same file.

        Returns:
            How many events that is.

        Raises:
            BuildError: it cannot be written.
        """
        kept = self.rows.filter(pa.array(~self.after(second)))
        partial = path.with_suffix(".partial")
        try:
            pq.write_table(kept, partial)
            partial.replace(path)
        except OSError as e:
            raise BuildError(
                f"cannot write the recorded events to {path}: {e.strerror or e}; check permissions "
                "and free space, then retrain again"
            ) from e
        return len(kept)


def exported_files(folder: Path) -> list[Path]:
    """Files of events in ``folder``, oldest first.

    Raises:
        DataError: it is no folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is no folder; give the one that 'millirank events export' writes into"
        )
    found = (p for p in folder.glob("*.parquet") if not p.name.startswith(IMPRESSIONS))
    return sorted(found, key=lambda path: (len(path.name), path.name))  # 9 before 10


def read_recorded(folder: Path, settings: Settings, now: int | None = None) -> Recorded:
    """Everything that was exported into ``folder``, each ``event_id`` once.

    Args:
        now: seconds since the epoch; later events are not usable (None: the clock).

    Raises:
        DataError: a file cannot be read as Parquet or lacks a column.
    """
    files = exported_files(folder)
    if not files:
        none = pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})
        return Recorded(none, np.zeros(0, np.int64), np.zeros(0, np.bool_))
    with tempfile.TemporaryDirectory() as spill:
        try:
            raw = connect(Path(spill)).read_parquet([str(p) for p in files], union_by_name=True)
            found = _parsed(_distinct(raw, folder), settings, now).to_pyarrow()
        except duckdb.Error as e:
            reason = str(e).splitlines()[0]
            raise DataError(f"the events in {folder} cannot be read: {reason}") from e
    usable = found["usable"].to_numpy()
    seconds = found["seconds"].to_numpy()
    return Recorded(found.select(_COLUMNS), np.where(usable, seconds, 0), usable)


def _distinct(raw: Any, folder: Path) -> Table:
    missing = [name for name in _COLUMNS if name not in raw.columns]
    if missing:
        raise DataError(
            f"the events in {folder} have no column {', '.join(missing)}; they have "
            f"{', '.join(raw.columns)}; export them with 'millirank events export'"
        )
    columns = {name: raw[name].cast("string") for name in _COLUMNS}
    identity = raw.event_id.cast("string") if "event_id" in raw.columns else ibis.null("string")
    rows = raw.select(**columns, event_id=identity.nullif(""), row=ibis.row_number())
    rows = rows.filter(rows.event != IMPRESSION)
    nth = ibis.row_number().over(group_by=rows.event_id, order_by=rows.row)
    first: Table = rows.mutate(nth=nth).filter(lambda t: t.event_id.isnull() | (t.nth == 0))
    return first.drop("nth")


def _parsed(rows: Table, settings: Settings, now: int | None) -> Table:
    data = recorded(settings)
    events = rows.rename(user="user_id", item="item_id")
    parsed = parse(events.mutate(value=ibis.null("string")), data, RECORDED)
    rules = row_rules(settings.clean, data, RECORDED, now)
    bad = ibis.cases(*((rule.bad(parsed), rule.name) for rule in rules))
    marked = parsed.mutate(usable=bad.isnull(), seconds=parsed.seconds.fill_null(0))
    named = marked.rename(user_id="user", item_id="item")
    return named.order_by("seconds", "timestamp", "row")
