"""Files as `millirank events export` writes them, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builders.settings import Settings

Event = tuple[str, str, str, int]
"""User, item, type, seconds."""


def export(folder: Path, events: Sequence[Event], name: str = "events-1", **more: Any) -> Path:
    """Write events, with ids of their own unless ``more`` gives some; the folder."""
    columns: dict[str, Any] = dict(
        zip(("user_id", "item_id", "event", "timestamp"), zip(*events, strict=True), strict=True)
    )
    columns["event_id"] = [f"{name}-{n}" for n in range(len(events))]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({**columns, **more}), folder / f"{name}.parquet")
    return folder


def settings_of(log: Path | str = "log.csv", **sections: Any) -> Settings:
    """Of a CSV log without any other rule than those on one row."""
    raw = {
        "name": "tiny",
        "data": {"format": "csv", "path": str(log)},
        "clean": {"min_user_events": 1, "min_item_events": 1},
    }
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}  # type: ignore[dict-item]
    return Settings.parse(raw, origin="test")
