"""Seed the user state from the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from builders.dataset.dataset import Dataset
from ensembles.errors import BuildError
from ensembles.step_code import load_step


def seed_state(folder: Path, repository: Path, dataset: Dataset, *, hold_out_test: bool) -> int:
    """Write every user's events into the user state; returns the number of users.

    Args:
        folder: of the state; made if absent, merged into if not.
        repository: any release's, whose feature code knows the format.
        hold_out_test: leave out each user's test event and what came after it.

    Raises:
        BuildError: the folder cannot be written, or holds something else.
    """
    version = next((repository / "features").glob("[0-9]*"))
    code = load_step(version)
    keys = code.item_keys(dataset.item_ids)
    try:
        return int(code.seed(folder, _events(dataset, keys, hold_out_test)))
    except ValueError as e:
        raise BuildError(f"user state: {e}") from e


def _events(dataset: Dataset, keys: Any, hold_out_test: bool) -> Iterator[Any]:
    for user, name in enumerate(dataset.user_ids):
        end = dataset.offsets[user + 1]
        if hold_out_test and dataset.test[user] >= 0:
            end = dataset.test[user]
        events = slice(dataset.offsets[user], end)
        yield name, keys[dataset.item[events]], dataset.timestamp[events].astype(np.int64)
