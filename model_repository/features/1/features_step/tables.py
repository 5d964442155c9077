"""The tables of a release: what retrieval and packing look things up in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .explore import Exploration
from .item_ids import ITEM_BITS, ItemIds
from .visual import VisualTable

_ENTRY_BITS = 17
_LARGEST_SEEN = 2000

_ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "popular": (np.int32, 1),
    "popularity": (np.float32, 1),
    "recency": (np.float32, 1),
    "neighbour_item": (np.int32, 2),
    "neighbour_weight": (np.float32, 2),
    "factors": (np.float32, 2),
    "categories": (np.float32, 2),
}


@dataclass(frozen=True)
class Tables:
    """Lengths and arrays of one release with N items; item number 0 is padding.

    Attributes:
        history: H, newest events that the ranker reads.
        candidates: C, candidates that retrieval gives.
        recent: R, newest events that retrieval and candidate features look at.
        candidate_buckets: ascending widths that requests' own candidates are padded to.
        decay: weight of an event relative to the next newer one, above 0, at most 1.
        item_ids: of N+1 items.
        popular: int32 [P] item numbers, most popular first.
        popularity, recency: float32 [N+1], 0 to 1.
        neighbour_item: int32 [N+1, K], 0 where there is none; neighbour_weight: float32 [N+1, K].
        factors: float32 [N+1, D]; categories: float32 [N+1, G]; rows have length 1 or 0.
        item_vectors: float32 [N+1, D], the ranker's item table where its graph does not hold it.
        visual: of a release that takes pictures.
        explore: of a release that explores.
    """

    history: int
    candidates: int
    recent: int
    candidate_buckets: tuple[int, ...]
    decay: float
    item_ids: ItemIds
    popular: NDArray[np.int32]
    popularity: NDArray[np.float32]
    recency: NDArray[np.float32]
    neighbour_item: NDArray[np.int32]
    neighbour_weight: NDArray[np.float32]
    factors: NDArray[np.float32]
    categories: NDArray[np.float32]
    item_vectors: NDArray[np.float32] | None = None
    visual: VisualTable | None = None
    explore: Exploration | None = None

    @property
    def items(self) -> int:
        """Number of items N, padding not counted."""
        return len(self.item_ids) - 1

    def prepare(self) -> None:
        """Build what requests look ids up in, so that the first one does not wait for it."""
        self.item_ids.prepare()
        _ = self.popular_rank, self.event_weights

    @cached_property
    def popular_rank(self) -> NDArray[np.float32]:
        """float32 [P]: -1 for the most popular item, -2 for the next, and so on."""
        return -1 - np.arange(len(self.popular), dtype=np.float32)

    @cached_property
    def event_weights(self) -> NDArray[np.float32]:
        """float32 [R]: weights of the newest R events, oldest first; the newest has 1."""
        age = np.arange(self.recent - 1, -1, -1, dtype=np.float32)
        return np.power(np.float32(self.decay), age)

    def width_for(self, given: int) -> int:
        """Width that a row with ``given`` candidates of its own is padded to."""
        return next((w for w in (self.candidates, *self.candidate_buckets) if w >= given), given)

    @classmethod
    def load(cls, folder: Path) -> Tables:
        """Read a ``tables`` folder; arrays are memory-mapped, so processes share them.

        Raises:
            ValueError: a file is missing, or its lengths contradict the others.
        """
        lengths = _read_json(folder / "lengths.json")
        item_ids = ItemIds(_read_json(folder / "item_ids.json"))
        arrays = {name: _read_array(folder / f"{name}.npy", *_ARRAYS[name]) for name in _ARRAYS}
        vectors = folder / "item_vectors.npy"
        if vectors.is_file():
            arrays["item_vectors"] = _read_array(vectors, np.float32, 2)
        visual = VisualTable.load(folder)
        rows = {name: len(array) for name, array in arrays.items() if name != "popular"}
        if visual is not None:
            rows["visual_vectors"] = len(visual.vectors)
        for name, found in {"item_ids": len(item_ids), **rows}.items():
            if found != lengths["items"] + 1:
                raise ValueError(
                    f"{folder}: {name} has {found} rows, expected items + 1 = "
                    f"{lengths['items'] + 1}; build the release again"
                )
        tables = cls(
            history=lengths["history"],
            candidates=lengths["candidates"],
            recent=min(lengths["recent"], lengths["history"]),
            candidate_buckets=tuple(
                b for b in lengths["candidate_buckets"] if b > lengths["candidates"]
            ),
            decay=lengths["decay"],
            item_ids=item_ids,
            visual=visual,
            explore=Exploration.load(folder, lengths["items"], lengths["candidates"]),
            **arrays,
        )
        tables._check(folder)
        return tables

    def _check(self, folder: Path) -> None:
        entries = self.recent * self.neighbour_item.shape[1] + self.candidates + 2 * _LARGEST_SEEN
        if self.neighbour_item.shape != self.neighbour_weight.shape:
            raise ValueError(f"{folder}: neighbour_item and neighbour_weight differ in shape")
        for name in ("popularity", "recency", "neighbour_item", "factors", "categories"):
            if np.any(getattr(self, name)[0]):
                raise ValueError(f"{folder}: row 0 of {name} is padding and must be zero")
        if self.items < 1 or self.items >= 1 << ITEM_BITS:
            raise ValueError(f"{folder}: expected 1 to 2^{ITEM_BITS} items, found {self.items}")
        if entries >= 1 << _ENTRY_BITS:
            raise ValueError(
                f"{folder}: recent x neighbours + candidates is {entries}, expected less than "
                f"2^{_ENTRY_BITS}; lower one of them"
            )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise ValueError(f"{path} cannot be read ({e}); build the release again") from e


def _read_array(path: Path, dtype: type[np.generic], axes: int) -> NDArray[Any]:
    try:
        # Not np.memmap: the subclass makes every look-up slower.
        array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError) as e:
        raise ValueError(f"{path} cannot be read ({e}); build the release again") from e
    if array.dtype != dtype or array.ndim != axes:
        raise ValueError(
            f"{path}: expected {np.dtype(dtype)} with {axes} axes, "
            f"found {array.dtype} with {array.ndim}"
        )
    return array
