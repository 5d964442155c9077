"""Lines up what is known of each user: stored events, then what it touched a moment ago."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .item_ids import ITEM_BITS

if TYPE_CHECKING:  # the tables of pictures need this file
    from .tables import Tables


def line_up(
    tables: Tables,
    keys: NDArray[np.uint64],
    counts: NDArray[np.int64],
    recent: Sequence[Sequence[int]],
) -> NDArray[np.int32]:
    """Item numbers of all known events, oldest first, padded left with 0.

    Args:
        keys: uint64 [E] item keys of the stored events of all rows, one row after the other.
        counts: int64 [B] stored events of each row.
        recent: item numbers of each row that come after the stored ones.

    Returns:
        int32 [B, W], W at least the history length H, so that ``[:, -H:]`` is the history.
    """
    rows = np.arange(len(counts))
    later = np.fromiter(chain.from_iterable(recent), np.int32)
    number = np.concatenate([tables.item_ids.numbers_of_keys(keys), later])
    row = np.concatenate([np.repeat(rows, counts), np.repeat(rows, [len(r) for r in recent])])
    known = number > 0  # events of items that this release does not have
    number, row = number[known], row[known]
    order = np.argsort(row, kind="stable")
    number, row = number[order], row[order]
    count = np.bincount(row, minlength=len(rows))
    width = max(tables.history, int(count.max(initial=0)))
    from_end = np.cumsum(count)[row] - np.arange(len(row))
    events = np.zeros((len(rows), width), np.int32)
    events[row, width - from_end] = number
    return events


def among(candidate: NDArray[np.int32], events: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each candidate [B, C] is among the events [B, W] of its row; bool [B, C]."""
    first = np.arange(len(events), dtype=np.int64)[:, None] << ITEM_BITS
    there = np.sort((first | events).ravel())
    wanted = first | candidate
    place = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    found: NDArray[np.bool_] = there[place] == wanted
    return found
