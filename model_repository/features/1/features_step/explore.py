"""Exploration: items that little is known of join the candidates of a request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .draws import POOL, uniform
from .events import among

POOL_FILE, PLAN_FILE = "explore.npy", "explore.json"
"""Files among the tables of a release that explores."""


@dataclass(frozen=True)
class Exploration:
    """How a release explores.

    They lie among the tables, and not in the configuration, which Triton hands to an older release
    as well that is loaded beside a new one.

    Attributes:
        share: chance that a slot is given away, above 0.
        places: E, the last places of the candidates.
        pool: int32 [P], distinct item numbers, P at least E.
    """

    share: float
    places: int
    pool: NDArray[np.int32]

    @classmethod
    def load(cls, folder: Path, items: int, candidates: int) -> Exploration | None:
        """Out of a ``tables`` folder; None where the release does not explore.

        Args:
            items: N; candidates: C, of the other tables.

        Raises:
            ValueError: a file is damaged, or does not fit the other tables.
        """
        if not (folder / POOL_FILE).is_file():
            return None
        try:
            plan = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))
            pool = np.load(folder / POOL_FILE, allow_pickle=False)
            found = cls(float(plan["share"]), int(plan["candidates"]), pool)
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise ValueError(
                f"what {folder} says of exploration cannot be read ({e!r}); build the release again"
            ) from e
        if not (0 < found.share < 1 and 0 < found.places < candidates):
            raise ValueError(
                f"{folder / PLAN_FILE}: expected a share between 0 and 1 and 1 to {candidates - 1} "
                f"candidates, found {found.share} and {found.places}; build the release again"
            )
        numbers = np.unique(pool) if pool.dtype == np.int32 and pool.ndim == 1 else pool[:0]
        if not found.places <= len(pool) == len(numbers) or numbers[0] < 1 or numbers[-1] > items:
            raise ValueError(
                f"{folder / POOL_FILE}: expected at least {found.places} distinct item numbers "
                f"from 1 to {items}, int32, found others; build the release again"
            )
        return found

    def join(
        self,
        seeds: NDArray[np.uint64],
        events: NDArray[np.int32],
        candidate: NDArray[np.int32],
    ) -> NDArray[np.int32]:
        """Put items into the last E places of the candidates, in place and in random order.

        Each item of the pool that is eligible, neither seen nor among the first candidates, has
        the same chance, at every place; where too few are, 0 is left at the end.

        Args:
            seeds: uint64 [B], one for each row.
            events: int32 [B, W] items that the user has seen.
            candidate: int32 [B, C].

        Returns:
            int32 [B], how many items were eligible.
        """
        first = candidate.shape[1] - self.places
        pool = np.broadcast_to(self.pool, (len(seeds), len(self.pool)))
        eligible = ~among(pool, np.concatenate([events, candidate[:, :first]], axis=1))
        key = np.where(eligible, uniform(seeds, POOL, len(self.pool)), 2.0)
        some = np.argpartition(key, self.places - 1, axis=1)[:, : self.places]
        keys = np.take_along_axis(key, some, axis=1)
        order = np.argsort(keys, axis=1)
        drawn = self.pool[np.take_along_axis(some, order, axis=1)]
        there = np.take_along_axis(keys, order, axis=1) < 1
        candidate[:, first:] = np.where(there, drawn, 0)
        counts: NDArray[np.int32] = eligible.sum(axis=1, dtype=np.int32)
        return counts
