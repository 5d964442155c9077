"""Item statistics of training events: popularity, recency and the most popular items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.settings import Features
from ensembles.errors import DataError

_DAY = 86_400.0


@dataclass(frozen=True)
class ItemStatistics:
    """N items; row 0 of the first two is padding and 0.

    Attributes:
        popularity: float32 [N+1] in 0..1, ``log1p`` of the decayed weight, 1 for the largest.
        recency: float32 [N+1] in 0..1, share of the events that are no newer than the item's
            newest one (1: touched last of all, 0: never). A share and not a time, so that one
            odd date does not squeeze everything else together.
        popular: int32 [N] all items, the most popular first, ties by item number; items that
            stand in no sequence, as held-out ones, come last.
    """

    popularity: NDArray[np.float32]
    recency: NDArray[np.float32]
    popular: NDArray[np.int32]


def item_statistics(
    dataset: Dataset, settings: Features, mask: NDArray[np.bool_] | None = None
) -> ItemStatistics:
    """Statistics of the events in ``mask``; nothing else of the log is looked at.

    Args:
        mask: bool [E], events that may be used (None: all training events). The "now" of the
            decay is the newest of them.

    Raises:
        DataError: the mask holds an event that is not for training, or none at all.
    """
    training = dataset.train_mask()
    used = training if mask is None else mask
    if not used.any() or (used & ~training).any():
        raise DataError("item statistics need training events, and only those")
    item, seconds = dataset.item[used], dataset.timestamp[used]
    weight = dataset.weight[used].astype(np.float64)
    if settings.popularity_half_life_days:
        age_days = (seconds.max() - seconds) / _DAY
        weight *= 0.5 ** (age_days / settings.popularity_half_life_days)
    size = dataset.items + 1
    total = np.bincount(item, weight, size)
    absent = np.bincount(dataset.item, minlength=size) == 0
    popular = np.lexsort((absent[1:], -total[1:])).astype(np.int32) + 1
    log_total = np.log1p(total)
    return ItemStatistics(
        popularity=(log_total / log_total.max()).astype(np.float32),
        recency=_recency(item, seconds, size),
        popular=popular.astype(np.int32),
    )


def _recency(item: NDArray[np.int32], seconds: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    newest = np.full(size, np.iinfo(np.int64).min)
    np.maximum.at(newest, item, seconds)
    no_newer = np.searchsorted(np.sort(seconds), newest, side="right")
    return (no_newer / len(seconds)).astype(np.float32)
