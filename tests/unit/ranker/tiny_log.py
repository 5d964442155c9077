"""A small log with a rule that can be learned: the next item is the next number, in a circle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from builders.dataset.dataset import Dataset
from builders.settings import Settings

ITEMS = 24


def dataset_of(sequences: Sequence[Sequence[int]], items: int = ITEMS) -> Dataset:
    """Users with these events; the last two of each are test and validation."""
    size = np.array([len(s) for s in sequences])
    end = np.cumsum(size)
    category = np.zeros((items + 1, 2), np.uint8)
    category[np.arange(1, items + 1), np.arange(items) % 2] = 1
    ids = ["", *(f"item-{n}" for n in range(1, items + 1))]
    events = np.concatenate([np.asarray(s, np.int32) for s in sequences])
    return Dataset(
        user_ids=[f"user-{n}" for n in range(len(sequences))],
        item_ids=ids,
        titles=ids,
        texts=[""] * len(ids),
        category_names=["odd", "even"],
        categories=category,
        offsets=np.concatenate([[0], end]).astype(np.int64),
        item=events,
        timestamp=np.concatenate([np.arange(n) for n in size]).astype(np.int64),
        weight=np.ones(len(events), np.float32),
        train_end=(end - 2).astype(np.int64),
        validation=(end - 2).astype(np.int64),
        test=(end - 1).astype(np.int64),
        user_attributes={},
        cold=np.zeros(len(ids), np.bool_),
        cold_user=np.zeros(0, np.int64),
        cold_item=np.zeros(0, np.int32),
        cold_end=np.zeros(0, np.int64),
    )


def circle(users: int = 60, seed: int = 0, longest: int = 14) -> Dataset:
    """Each user starts somewhere and goes on around the circle."""
    rng = np.random.default_rng(seed)
    start, length = rng.integers(0, ITEMS, users), rng.integers(5, longest + 1, users)
    return dataset_of(
        [
            [(first + step) % ITEMS + 1 for step in range(n)]
            for first, n in zip(start, length, strict=True)
        ]
    )


def settings_of(**sections: Any) -> Settings:
    """Small everything; ``sections`` replace single values of a section."""
    small: dict[str, dict[str, Any]] = {
        "features": {"history": 8},
        "retrieval": {"candidates": 10, "factors": 4, "neighbours": 5, "recent": 5},
        "ranker": {"width": 16, "layers": 2, "heads": 2, "dropout": 0.1},
        "train": {
            "epochs": 12,
            "batch": 64,
            "learning_rate": 0.01,
            "precision": "32-true",
            "threads": 1,
        },
    }
    for name, values in sections.items():
        small[name] = {**small.get(name, {}), **values}
    return Settings.parse({"name": "tiny", "data": {"format": "csv"}, **small}, origin="test")
