"""The cleaned, split log as arrays: what every later stage reads.

Item number 0 is padding; items are 1..N. Events are sorted by user, then by time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ensembles.errors import DataError

Part = Literal["validation", "test"]

_ARRAYS = (
    "offsets",
    "item",
    "timestamp",
    "weight",
    "train_end",
    "validation",
    "test",
    "categories",
    "cold",
    "cold_user",
    "cold_item",
    "cold_end",
)


def newest_before(
    item: NDArray[np.int32], start: NDArray[np.int64], end: NDArray[np.int64], length: int
) -> NDArray[np.int32]:
    """Newest of the events ``start:end`` of M rows: int32 [M, length], padded left with 0."""
    index = end[:, None] - np.arange(length, 0, -1)
    inside = index >= start[:, None]
    return np.where(inside, item[np.maximum(index, 0)], 0).astype(np.int32)


@dataclass(frozen=True)
class Dataset:
    """U users, N items, E events, G categories, M events of held-out items.

    Attributes:
        user_ids: U external ids.
        item_ids: N+1 external ids; the first is ``""`` (padding).
        titles: N+1 titles (the id where the source has none).
        texts: N+1 texts for text embeddings (``""`` where there is none).
        category_names: G names.
        categories: uint8 [N+1, G], 1 where the item has the category.
        offsets: int64 [U+1]; events of user u are ``offsets[u]:offsets[u+1]``.
        item: int32 [E] item numbers.
        timestamp: int64 [E] seconds (or positions, where the source has no time).
        weight: float32 [E] event weights.
        train_end: int64 [U]; training events of user u are ``offsets[u]:train_end[u]``.
        validation: int64 [U] position in ``item`` of the validation target, -1 where none.
        test: int64 [U] position in ``item`` of the test target, -1 where none.
        user_attributes: column name → U strings, where the source has any.
        cold: bool [N+1], True for items held out of training with all of their events.
        cold_user: int64 [M]; the events of held-out items that their user had a history before,
            by user and then by time. They stand in none of the arrays above.
        cold_item: int32 [M].
        cold_end: int64 [M] position in ``item`` where the user's history before the event ends.
    """

    user_ids: list[str]
    item_ids: list[str]
    titles: list[str]
    texts: list[str]
    category_names: list[str]
    categories: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    item: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    weight: NDArray[np.float32]
    train_end: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    user_attributes: dict[str, list[str]]
    cold: NDArray[np.bool_]
    cold_user: NDArray[np.int64]
    cold_item: NDArray[np.int32]
    cold_end: NDArray[np.int64]

    @property
    def users(self) -> int:
        """Number of users U."""
        return len(self.user_ids)

    @property
    def items(self) -> int:
        """Number of items N, padding not counted."""
        return len(self.item_ids) - 1

    def train_history(self, user: int) -> NDArray[np.int32]:
        """Training events of one user, oldest first."""
        return self.item[self.offsets[user] : self.train_end[user]]

    def train_mask(self) -> NDArray[np.bool_]:
        """bool [E]: True for training events."""
        length = np.diff(self.offsets)
        return np.arange(len(self.item)) < np.repeat(self.train_end, length)

    def positions(self, part: Part) -> NDArray[np.int64]:
        """``validation`` or ``test``: int64 [U]."""
        return self.validation if part == "validation" else self.test

    def targets(self, part: Part) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Users that have a target in ``part``, and the target items; both [M]."""
        position = self.positions(part)
        users = np.flatnonzero(position >= 0)
        return users, self.item[position[users]]

    def histories(self, part: Part, users: NDArray[np.int64], length: int) -> NDArray[np.int32]:
        """Events of each user before its target in ``part``: int32 [M, length], padded left."""
        position = self.positions(part)
        return self.before(users, position[users], length)

    def before(
        self, users: NDArray[np.int64], end: NDArray[np.int64], length: int
    ) -> NDArray[np.int32]:
        """Newest events of each user before position ``end``: int32 [M, length], padded left."""
        return newest_before(self.item, self.offsets[users], end, length)

    def seen(self, part: Part, user: int) -> NDArray[np.int32]:
        """All events of one user before its target in ``part``, oldest first."""
        position = self.positions(part)
        return self.item[self.offsets[user] : position[user]]

    def save(self, folder: Path) -> None:
        """Write arrays as ``.npy`` and texts as JSON into an existing folder."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        names = {
            key: getattr(self, key)
            for key in (
                "user_ids",
                "item_ids",
                "titles",
                "texts",
                "category_names",
                "user_attributes",
            )
        }
        (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """Read what ``save`` wrote; arrays are memory-mapped.

        Raises:
            DataError: a file is missing or damaged.
        """
        try:
            arrays = {
                name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in _ARRAYS
            }
            names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
            return cls(**arrays, **names)
        except (OSError, ValueError, TypeError) as e:
            raise DataError(f"{folder} holds no readable dataset ({e}); build it again") from e
