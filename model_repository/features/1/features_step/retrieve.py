"""Candidate retrieval: items near the newest events, then popular ones.

Sums and selections are one sort over packed integers, for all rows of a batch at once. Their
cost depends on the number of neighbours looked at, never on the size of the catalogue, and each
row's result is independent of its batch mates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .item_ids import ITEM_BITS
from .tables import Tables

MAX_ROWS = 128
"""Rows of one call. Row, score and position then fit in 63 bits."""

_ITEM_MASK = (1 << ITEM_BITS) - 1
_SHORT_BITS = 32


@dataclass(frozen=True)
class NeighbourScores:
    """Summed neighbour weights of S distinct (row, item) pairs, sorted by row, then item.

    Attributes:
        pair: int64 [S], row << ITEM_BITS | item.
        score: float32 [S].
    """

    pair: NDArray[np.int64]
    score: NDArray[np.float32]

    def of(self, candidate: NDArray[np.int32]) -> NDArray[np.float32]:
        """Score of each candidate, float32 [B, C]; 0 where no event's neighbour."""
        if not len(self.pair):
            return np.zeros(candidate.shape, np.float32)
        rows = np.arange(len(candidate), dtype=np.int64)[:, None] << ITEM_BITS
        place, found = _find(rows | candidate, self.pair)
        return np.where(found, self.score[place], np.float32(0))

    def best(self, rows: int) -> NDArray[np.float32]:
        """Highest score of each of the first ``rows`` rows, float32 [rows]; 0 where none."""
        highest = np.zeros(rows, np.float32)
        row = self.pair >> ITEM_BITS
        if len(row):
            start = _starts(row)
            highest[row[start]] = np.maximum.reduceat(self.score, start)
        return highest


def neighbour_scores(tables: Tables, history: NDArray[np.int32]) -> NeighbourScores:
    """Sum, over the newest R events j of each row, decay^age · neighbour_weight[j → item].

    Args:
        history: int32 [B, H], padded left with 0, newest last; B at most ``MAX_ROWS``.
    """
    newest = history[:, -tables.recent :]
    item = tables.neighbour_item.take(newest, axis=0).reshape(len(newest), -1)
    weight = tables.neighbour_weight.take(newest, axis=0)
    weight *= tables.event_weights[-newest.shape[1] :, None]
    ordered, position = _order(item, tables.items)
    first = np.ones(ordered.shape, np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=first[:, 1:])
    start = np.flatnonzero(first)
    if not len(start):
        return NeighbourScores(start, np.zeros(0, np.float32))
    score = np.add.reduceat(weight.ravel()[position.ravel()], start)
    number = ordered.ravel()[start].astype(np.int64)
    pair = start // item.shape[1] << ITEM_BITS | number
    real = number > 0
    return NeighbourScores(pair[real], score[real])


def _order(item: NDArray[np.int32], largest: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Each row sorted, equal items in their order, and where in ``item.ravel()`` each was.

    Item and position packed in one integer sort several times faster than argsort does, and in
    32 bits, which few catalogues outgrow, twice as fast again.

    Args:
        item: int32 [B, E].
        largest: item number that there may be.
    """
    rows, entries = item.shape
    bits = entries.bit_length()
    short = largest.bit_length() + bits <= _SHORT_BITS
    packed: NDArray[Any] = item.astype(np.uint32 if short else np.int64)
    packed <<= bits
    packed |= np.arange(entries, dtype=packed.dtype)
    packed.sort(axis=1)
    position = (packed & ((1 << bits) - 1)).astype(np.int64)
    position += np.arange(rows)[:, None] * entries
    packed >>= bits
    return packed, position


def retrieve(
    tables: Tables, scores: NeighbourScores, seen: NDArray[np.int32], count: int
) -> NDArray[np.int32]:
    """The ``count`` unseen items with the highest scores, then the most popular unseen ones.

    Equal scores go by item number. Rows end in 0 where the catalogue is nearly exhausted.

    Args:
        scores: of the rows' histories.
        seen: int32 [B, S] item numbers in any order, 0 for none; B at most ``MAX_ROWS``.
        count: candidates a row, C.

    Returns:
        int32 [B, C].
    """
    rows = len(seen)
    first = np.arange(rows, dtype=np.int64)[:, None] << ITEM_BITS
    there = seen > 0
    gone = np.sort((first | seen)[there])  # sorted values are found faster
    pair, value = scores.pair, scores.score
    if len(pair):
        place, found = _find(gone, pair)
        unseen = np.ones(len(pair), np.bool_)
        unseen[place[found]] = False
        pair, value = pair[unseen], value[unseen]
    # A score is above 0 and a popularity rank below, so only rows short of scores look further.
    short = np.bincount(pair >> ITEM_BITS, minlength=rows) < count
    if short.any():
        known = np.sort(np.concatenate([scores.pair, gone]))
        # However much of it was seen, this much of the popular list fills up what scores began.
        most = count + int(there.sum(axis=1)[short].max())
        popular = first[short] | tables.popular[:most]
        new = ~_find(popular, known)[1] if len(known) else np.ones(popular.shape, np.bool_)
        ranks = np.broadcast_to(tables.popular_rank[:most], popular.shape)
        pair = np.concatenate([pair, popular[new]])
        value = np.concatenate([value, ranks[new]])
    return _best(pair, value, rows, count)


def _find(
    wanted: NDArray[np.int64], ordered: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each value would be in a sorted array that is not empty, and whether it is there."""
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return place, ordered[place] == wanted


def _starts(ordered: NDArray[np.int64]) -> NDArray[np.intp]:
    """Where each distinct value of a sorted array begins; a third of the time of np.diff."""
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.flatnonzero(first)


def _best(
    pair: NDArray[np.int64], value: NDArray[np.float32], rows: int, count: int
) -> NDArray[np.int32]:
    """Items of the ``count`` highest values of each row, ties by item number; int32 [B, C]."""
    bits = len(pair).bit_length()
    row = pair >> ITEM_BITS
    packed = np.sort((row << 32 | _descending(value)) << bits | np.arange(len(pair)))
    row = packed >> (32 + bits)
    column = np.arange(len(pair)) - np.searchsorted(row, np.arange(rows))[row]
    chosen = column < count
    best = pair[packed[chosen] & ((1 << bits) - 1)]
    found = np.zeros((rows, count), np.int32)
    found[row[chosen], column[chosen]] = best & _ITEM_MASK
    return found


def _descending(value: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers 0 to 2^32 - 1 that sort as ``-value`` does; IEEE 754 bits, sign folded."""
    bits = value.view(np.uint32)
    return np.where(bits >> 31, bits, bits ^ 0x7FFFFFFF).astype(np.int64)
