"""What a person, a load test or a trial needs to know of a release; it lies beside the ensemble."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from builders.dataset.dataset import Dataset
from builders.settings import Settings
from ensembles.contracts import LIMITS

QUERIES = 500
"""Held-out events that a trial may ask for."""


def write_about(folder: Path, settings: Settings, dataset: Dataset) -> None:
    """Titles, who was held out with what, and held-out events with what came before each."""
    folder.mkdir(parents=True)
    catalogue = dict(zip(dataset.item_ids[1:], dataset.titles[1:], strict=True))
    _write_json(folder / "catalogue.json", catalogue)
    users, items = dataset.targets("test")
    held_out = users if settings.serving.hold_out_test else users[:0]
    holdout = {
        "users": [dataset.user_ids[u] for u in held_out],
        "items": [dataset.item_ids[i] for i in items[: len(held_out)]],
    }
    _write_json(folder / "holdout.json", holdout)
    chosen = np.sort(np.random.default_rng(0).permutation(len(users))[:QUERIES])
    events = dataset.histories("test", users[chosen], LIMITS.recent)
    queries = {
        "recent": [[dataset.item_ids[i] for i in row[row > 0]] for row in events],
        "items": [dataset.item_ids[i] for i in items[chosen]],
    }
    _write_json(folder / "queries.json", queries)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
