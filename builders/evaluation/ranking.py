"""Full ranking: every held-out event against the whole catalogue, seen items excluded.

Items held out with all of their events are excluded too: they cannot be anybody's target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset, Part
from builders.evaluation.metrics import ranks_of

Scorer = Callable[[Part, NDArray[np.int64]], NDArray[np.float32]]
"""(part, users int64 [M]) → scores float32 [M, N+1] of all items, seeing events before the
users' targets in ``part`` only."""

_ROWS = 256


def full_ranks(scorer: Scorer, dataset: Dataset, part: Part) -> NDArray[np.int64]:
    """0-based rank of each target of ``part``, in the order of ``dataset.targets(part)``."""
    users, _ = dataset.targets(part)
    ranks = np.zeros(len(users), dtype=np.int64)
    for rows in by_length(dataset, part, users):
        ranks[rows] = ranks_of_users(scorer, dataset, part, users[rows])
    return ranks


def ranks_of_users(
    scorer: Scorer, dataset: Dataset, part: Part, users: NDArray[np.int64]
) -> NDArray[np.int64]:
    """0-based rank of the target of each of ``users``, int64 [M], which all have one."""
    scores = scorer(part, users)
    scores[:, np.flatnonzero(dataset.cold)] = -np.inf
    position = dataset.positions(part)[users]
    return ranks_of(scores, dataset.item[position], seen_items(dataset, part, users))


def by_length(
    dataset: Dataset, part: Part, users: NDArray[np.int64], rows: int = _ROWS
) -> Iterator[NDArray[np.int64]]:
    """Index arrays into ``users``, of users with about equally many events before the target."""
    position = dataset.positions(part)
    order = np.argsort(position[users] - dataset.offsets[users], kind="stable")
    for start in range(0, len(order), rows):
        yield order[start : start + rows]


def seen_items(dataset: Dataset, part: Part, users: NDArray[np.int64]) -> NDArray[np.int32]:
    """All events before the targets: int32 [M, S], padded left with 0."""
    position = dataset.positions(part)
    longest = int((position[users] - dataset.offsets[users]).max(initial=1))
    return dataset.histories(part, users, max(longest, 1))


def trimmed(history: NDArray[np.int32]) -> NDArray[np.int32]:
    """Without the leading columns that are padding in every row; at least one column stays."""
    used = np.flatnonzero(history.any(axis=0))
    return history[:, min(used[0] if len(used) else len(history[0]), len(history[0]) - 1) :]
