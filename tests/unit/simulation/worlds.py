"""Logs and settings by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders.dataset.build import build_dataset
from builders.dataset.dataset import Dataset
from builders.settings import Settings


def settings(path: Path, **sections: Any) -> Settings:
    raw: dict[str, Any] = {
        "name": "tiny",
        "data": {"format": "csv", "path": str(path)},
        "clean": {"min_user_events": 1, "min_item_events": 1},
    }
    for name, values in sections.items():
        raw[name] = {**raw.get(name, {}), **values}
    return Settings.parse(raw, origin="test")


def walkers(path: Path, users: int = 12, items: int = 20, length: int = 8) -> Path:
    """User u does items u, u + 1, ... and the later a user's number, the later all of it."""
    rows = [
        f"u{user},i{(user + step) % items},{1000 + 100 * user + step}"
        for user in range(users)
        for step in range(length)
    ]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return path


def dataset(folder: Path, **options: int) -> Dataset:
    log = walkers(folder / "log.csv", **options)
    return build_dataset(settings(log), folder / "dataset", lambda _: None)
