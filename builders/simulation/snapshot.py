"""The known part of a log as a data set of its own, which builds read like any other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from ensembles.errors import DataError

SEPARATOR = "|"
"""Between the categories of an item."""


def write_snapshot(
    log: Dataset, known: NDArray[np.bool_], weights: Mapping[str, float], folder: Path
) -> None:
    """Write ``interactions.parquet``, ``items.parquet`` and ``users.parquet`` into ``folder``.

    Args:
        known: bool [E], the events to write.
        weights: of the event types; each event gets a type of its weight. Empty: no types.

    Raises:
        DataError: they cannot be written.
    """
    owner = np.repeat(np.arange(log.users), np.diff(log.offsets))[known]
    events: dict[str, Any] = {
        "user_id": np.array(log.user_ids)[owner],
        "item_id": np.array(log.item_ids)[log.item[known]],
        "timestamp": log.timestamp[known],
    }
    if weights:
        types = {np.float32(weight): name for name, weight in weights.items()}
        events["event"] = [types[weight] for weight in log.weight[known]]
    items = {
        "item_id": log.item_ids[1:],
        "title": log.titles[1:],
        "categories": [_categories(log, item) for item in range(1, log.items + 1)],
        "text": log.texts[1:],
    }
    users = {"user_id": log.user_ids, **log.user_attributes}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, columns in (("interactions", events), ("items", items), ("users", users)):
            pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    except OSError as e:
        raise DataError(f"cannot write the known part of the log to {folder}: {e}") from e


def _categories(log: Dataset, item: int) -> str:
    return SEPARATOR.join(log.category_names[g] for g in np.flatnonzero(log.categories[item]))
