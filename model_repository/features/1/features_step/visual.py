"""A request's picture: items that look like it, and how much each candidate does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .events import among

VECTORS, INDEX = "visual_vectors.npy", "visual.faiss"
"""Files among the tables of a release that takes pictures."""

MATCH, WEIGHT = 5, 6
"""Columns of the packed candidate features that are not zero when a request has a picture."""


@dataclass(frozen=True)
class Blend:
    """How a picture takes part.

    Attributes:
        weight: what it counts against the user's history, 0 to 1; without a history it is 1.
        candidates: items that look like it and join the candidates.
    """

    weight: float
    candidates: int

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Blend:
        """Out of a model's parameters.

        Raises:
            ValueError: one is missing or no number.
        """
        try:
            return cls(float(parameters["visual_weight"]), int(parameters["visual_candidates"]))
        except (KeyError, ValueError) as e:
            raise ValueError(
                "the features step needs the parameters visual_weight and visual_candidates as "
                f"numbers in its config.pbtxt: {e!r}"
            ) from e


class VisualTable:
    """Visual vectors of N+1 items, float32 [N+1, V], of length 1 or, without a picture, zero."""

    def __init__(self, vectors: NDArray[np.float32], index: Any) -> None:
        """Take them with a FAISS index (inner product) whose ids are item numbers."""
        self.vectors = vectors
        self._index = index

    @classmethod
    def load(cls, folder: Path) -> VisualTable | None:
        """Out of a ``tables`` folder; None where the release takes no pictures.

        Raises:
            ValueError: a file is damaged, or the two do not fit together.
        """
        if not (folder / VECTORS).is_file():
            return None
        import faiss

        try:
            vectors = np.asarray(np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False))
            index = faiss.read_index(str(folder / INDEX))
        except (OSError, ValueError, RuntimeError) as e:
            raise ValueError(
                f"the visual vectors in {folder} cannot be read ({e}); build the release again"
            ) from e
        pictures = int(vectors.any(axis=1).sum()) if vectors.ndim == 2 else -1
        if vectors.dtype != np.float32 or (index.ntotal, index.d) != (pictures, vectors.shape[-1]):
            raise ValueError(
                f"{folder}: expected an index over the {pictures} rows of {VECTORS} that are not "
                f"zero, found {index.ntotal} of length {index.d}; build the release again"
            )
        return cls(vectors, index)

    @property
    def width(self) -> int:
        """Length of a vector, V."""
        return int(self.vectors.shape[1])

    def nearest(self, query: NDArray[np.float32], count: int) -> NDArray[np.int32]:
        """Item numbers by inner product, best first: [B, count], 0 where there are no more.

        Args:
            query: float32 [B, V].
        """
        _, found = self._index.search(np.ascontiguousarray(query), count)
        numbers: NDArray[np.int32] = np.maximum(found, 0).astype(np.int32)
        return numbers

    def add_similar(
        self,
        query: NDArray[np.float32],
        seen: NDArray[np.int32],
        found: NDArray[np.int32],
        count: int,
    ) -> NDArray[np.int32]:
        """Retrieved candidates, of which the last make place for unseen items that look alike.

        Args:
            query: float32 [B, V]; a row of zeros has no picture and keeps its candidates.
            seen: int32 [B, S] item numbers to leave out.
            found: int32 [B, C] retrieved candidates, unseen ones.
            count: similar items that join, at most half of C.

        Returns:
            int32 [B, C], the similar ones first, 0 where none are left.
        """
        count = min(count, found.shape[1] // 2)
        near = self.nearest(query, 2 * count)
        left_out = among(near, seen) | (near == 0) | ~query.any(axis=1)[:, None]
        left_out |= np.cumsum(~left_out, axis=1) > count
        near = np.where(left_out, 0, near)
        both = np.concatenate([near, found], axis=1)
        free = np.concatenate([left_out, among(found, near) | (found == 0)], axis=1)
        order = np.argsort(free, axis=1, kind="stable")[:, : found.shape[1]]
        return np.take_along_axis(np.where(free, 0, both), order, axis=1)

    def write_columns(
        self,
        packed: NDArray[np.float32],
        query: NDArray[np.float32],
        history: NDArray[np.int32],
        candidate: NDArray[np.int32],
        weight: float,
    ) -> None:
        """Put weight times match, and weight, into candidate features, in place.

        Args:
            packed: float32 [B, C, F].
            query: float32 [B, V], zeros for rows without a picture.
            history: int32 [B, H], padded left with 0.
            candidate: int32 [B, C], 0 for padding.
            weight: of a picture beside a history.
        """
        match = (self.vectors[candidate] @ query[:, :, None])[..., 0]
        counts = _weights(query, history, weight)[:, None]
        packed[..., MATCH] = counts * match
        packed[..., WEIGHT] = counts * (candidate > 0)


def _weights(
    query: NDArray[np.float32], history: NDArray[np.int32], weight: float
) -> NDArray[np.float32]:
    """What the picture of each row counts: float32 [B]."""
    known = history[:, -1] > 0
    return np.where(query.any(axis=1), np.where(known, weight, 1.0), 0.0).astype(np.float32)
