"""What the users of a round saw and did, as arrays: one file a round."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.simulation.visit import Visit
from serving.durable import replace_file


@dataclass(frozen=True)
class Seen:
    """A round of U users with N items.

    Attributes:
        shown: int32 [U, N], how often a user was shown an item.
        requests: float64 [U].
        clicks: float64 [U], of any item.
        gain: float64 [U], sum of the NDCG@10 of the answers that have one.
        graded: float64 [U], answers that have one.
        wanted: float64 [U], items that a user would have liked at the very beginning.
        found: float64 [U], those of them that were clicked so far, this round included.
        release: int64 [], that served.
    """

    shown: NDArray[np.int32]
    requests: NDArray[np.float64]
    clicks: NDArray[np.float64]
    gain: NDArray[np.float64]
    graded: NDArray[np.float64]
    wanted: NDArray[np.float64]
    found: NDArray[np.float64]
    release: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        visits: Sequence[Visit],
        item_ids: Sequence[str],
        likes: Mapping[str, frozenset[str]],
        left: Mapping[str, frozenset[str]],
    ) -> Seen:
        """Count the visits of all users.

        Args:
            likes: of each user, before the first round.
            left: what is left of it after this one.
        """
        place = {item: n for n, item in enumerate(item_ids)}
        shown = np.zeros((len(visits), len(item_ids)), np.int32)
        for user, visit in enumerate(visits):
            for answer in visit.shown:
                shown[user, [place[item] for item in answer]] += 1
        wanted = np.array([len(mine) for mine in likes.values()], np.float64)
        return cls(
            shown,
            np.array([len(v.shown) for v in visits], np.float64),
            np.array([len(v.clicked) for v in visits], np.float64),
            np.array([sum(v.gains) for v in visits], np.float64),
            np.array([len(v.gains) for v in visits], np.float64),
            wanted,
            wanted - np.array([len(left[name]) for name in likes], np.float64),
            np.array(max(v.release for v in visits), np.int64),
        )

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        content = io.BytesIO()
        np.savez_compressed(content, **{f.name: getattr(self, f.name) for f in fields(self)})
        replace_file(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> Seen:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{f.name: arrays[f.name] for f in fields(cls)})
