"""The feature step for builders: candidates and their features for given histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .pack import WIDTH, near_share, pack
from .retrieve import MAX_ROWS, neighbour_scores, retrieve
from .tables import Tables


class FeatureStep:
    """The arithmetic that serving runs, over any number of rows."""

    near_share = staticmethod(near_share)

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    @classmethod
    def load(cls, folder: Path) -> FeatureStep:
        """With the tables in ``folder``.

        Raises:
            ValueError: a table is missing or damaged.
        """
        return cls(Tables.load(folder))

    def retrieve(
        self, history: NDArray[np.int32], seen: NDArray[np.int32], count: int
    ) -> NDArray[np.int32]:
        """Candidates of each row, best first: int32 [B, count], 0 where none are left.

        Args:
            history: int32 [B, H], padded left with 0, newest last.
            seen: int32 [B, S] items to leave out, in any order, 0 for none.
        """
        found = np.zeros((len(history), count), np.int32)
        for start in range(0, len(history), MAX_ROWS):
            rows = slice(start, start + MAX_ROWS)
            scores = neighbour_scores(self.tables, history[rows])
            found[rows] = retrieve(self.tables, scores, seen[rows], count)
        return found

    def pack(self, history: NDArray[np.int32], candidate: NDArray[np.int32]) -> NDArray[np.float32]:
        """Candidate features float32 [B, C, WIDTH] of candidates int32 [B, C], 0 for padding."""
        packed = np.zeros((*candidate.shape, WIDTH), np.float32)
        for start in range(0, len(history), MAX_ROWS):
            rows = slice(start, start + MAX_ROWS)
            scores = neighbour_scores(self.tables, history[rows])
            packed[rows] = pack(self.tables, scores, history[rows], candidate[rows])
        return packed
