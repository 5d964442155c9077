from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.dataset.dataset import Dataset
from builders.settings import Settings

Rows = list[tuple[Any, ...]]

LOOSE = {"min_user_events": 1, "min_item_events": 1}
"""No k-core: what a test of one rule wants."""


def block(users: int = 4, items: int = 4) -> Rows:
    """Every user with every item, at its own second: nothing for any rule to take."""
    pairs = itertools.product(range(users), range(items))
    return [(f"u{u}", f"i{i}", 1000 + u * items + i) for u, i in pairs]


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    def write(rows: Rows, header: str = "user_id,item_id,timestamp", name: str = "log.csv") -> Path:
        path = tmp_path / name
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def settings_for(path: Path | str, format_name: str = "csv", **sections: Any) -> Settings:
    """Settings over a source; ``data`` and ``columns`` go into [data], the rest are sections."""
    data = {"format": format_name, "path": str(path), **sections.pop("data", {})}
    data["columns"] = sections.pop("columns", {})
    return Settings.parse({"name": "test", "data": data, **sections}, origin="test")


def events(dataset: Dataset) -> list[tuple[str, str, int]]:
    """All events as (user, item, timestamp), in the order of the data set."""
    spans = itertools.pairwise(dataset.offsets)
    return [
        (dataset.user_ids[u], dataset.item_ids[dataset.item[e]], int(dataset.timestamp[e]))
        for u, (start, end) in enumerate(spans)
        for e in range(start, end)
    ]


def silent(_: str) -> None:
    """A log that nobody reads."""
