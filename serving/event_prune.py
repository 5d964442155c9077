"""Removes old events from the log, so that it does not grow for ever; user states stay."""

from __future__ import annotations

import re
import time
from pathlib import Path

from ensembles.errors import DataError, SettingsError
from serving.event_export import place_of
from serving.event_log import EventLog, event_log

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(age: str) -> float:
    """An age such as ``90d``, ``12h``, ``30m`` or ``5s``.

    Raises:
        SettingsError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", age)
    if not found:
        raise SettingsError(f"expected an age such as 90d, 12h, 30m or 5s, got {age!r}")
    return float(found[1]) * _UNITS[found[2]]


def prune_events(
    url: str,
    older_than: str = "",
    keep_bytes: int | None = None,
    exported: Path | None = None,
) -> int:
    """Remove the oldest events of a log; how many.

    Args:
        older_than: those received longer ago, such as ``90d``.
        keep_bytes: and so many that no more than so many bytes of events stay.
        exported: a folder of ``export_events``; what is not in it yet stays, whatever its age.

    Raises:
        SettingsError: neither limit is given, or the age is none.
        DataError: the log cannot be read or written, or ``exported`` is of another log.
    """
    if not older_than and keep_bytes is None:
        raise SettingsError("expected --older-than, --keep-bytes or both")
    before = time.time() - seconds_of(older_than) if older_than else 0.0
    with event_log(url) as log:
        end = place_of(exported, log.raw.identity()) if exported else None
        if end == "":
            raise DataError(f"{exported} holds no export yet; run 'millirank events export' first")
        cut = _cut(log, before, keep_bytes, end)
        return int(log.raw.remove_through(cut)) if cut else 0


def _cut(log: EventLog, before: float, keep_bytes: int | None, end: str | None) -> str:
    """The place of the newest event to remove; "" where there is none."""
    over = 0
    if keep_bytes is not None:
        with log.after(log.raw.start) as lines:
            over = sum(len(line) for _, line in lines) - keep_bytes
    cut = ""
    with log.after(log.raw.start) as lines:
        for place, line in lines:
            old = log.row_of(line)["received"] < before
            if not (old or over > 0) or (end is not None and place > end):
                break
            cut, over = place, over - len(line)
    return cut
