"""Candidate retrieval: items near the newest events, then popular ones.

Sums and selections are one sort over packed integers, for all rows of a batch at once. Their
cost depends on the number of neighbours looked at, never on the size of the catalogue, and each
row's result is independent of its batch mates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .item_ids import ITEM_BITS
from .tables import Tables

MAX_ROWS = 128
"""Rows of one call. Row, score and position, or row, item and position, then fit in 63 bits."""

_ITEM_MASK = (1 << ITEM_BITS) - 1


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
        wanted = rows | candidate
        place = np.minimum(np.searchsorted(self.pair, wanted), len(self.pair) - 1)
        return np.where(self.pair[place] == wanted, self.score[place], np.float32(0))

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
    item = tables.neighbour_item[newest]
    weight = tables.neighbour_weight[newest]
    weight *= tables.event_weights[-newest.shape[1] :, None]
    there = np.flatnonzero(item)
    row = there // max(1, item[0].size)
    pair, order, start = _group(row << ITEM_BITS | item.ravel()[there])
    if not len(pair):
        return NeighbourScores(pair, np.zeros(0, np.float32))
    return NeighbourScores(pair, np.add.reduceat(weight.ravel()[there][order], start))


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
    # However much of it was seen, this much of the popular list holds `count` unseen items.
    popular = tables.popular[: count + int(there.sum(axis=1).max(initial=0))]
    entries = [scores.pair, (first | popular).ravel(), (first | seen)[there]]
    ranks = np.tile(tables.popular_rank[: len(popular)], rows)
    values = [scores.score, ranks, np.full(len(entries[2]), np.inf, np.float32)]
    pair, order, start = _group(np.concatenate(entries))
    # A score is above 0 and a popularity rank below, so the score wins; "seen" wins over both.
    value = np.maximum.reduceat(np.concatenate(values)[order], start)
    unseen = value < np.inf
    return _best(pair[unseen], value[unseen], rows, count)


def _group(
    pair: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sorted distinct pairs, the stable sorting order of all, and where each pair starts."""
    bits = len(pair).bit_length()
    # Sorting pair and position packed in one integer is several times faster than argsort.
    packed = np.sort(pair << bits | np.arange(len(pair)))
    pair = packed >> bits
    start = _starts(pair)
    return pair[start], packed & ((1 << bits) - 1), start


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
