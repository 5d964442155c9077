"""External ids of a release's items, and the way back from an id to its number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

ITEM_BITS = 30
"""Of an item number, where it is packed with others into one integer."""

_DICTIONARY_ITEMS = 100_000
"""Up to this many items a dictionary of about 100 bytes an item answers, ten times faster."""


def item_keys(item_ids: Sequence[str]) -> NDArray[np.uint64]:
    """Names of items in the user state, the same in every release: 64 bits of BLAKE2b each."""
    return _keys(item_id.encode() for item_id in item_ids)


def _keys(ids: Iterable[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join([blake2b(i, digest_size=8).digest() for i in ids]), "<u8")


class ItemIds:
    """N+1 external ids, the first, of padding, is "".

    They are kept in arrays: a million Python strings would take 100 MB in every instance.
    """

    def __init__(self, item_ids: Sequence[str], *, dictionary: bool | None = None) -> None:
        """Sort the ids' keys.

        Args:
            dictionary: look ids up in a dictionary; by default where there are few.

        Raises:
            ValueError: an id ends in a NUL character, which the arrays cannot hold.
        """
        ids = [item_id.encode() for item_id in item_ids]
        if any(i.endswith(b"\0") for i in ids):
            raise ValueError("an item id ends in a NUL character; remove it from the log")
        self._ids = np.array(ids)
        keys = _keys(ids[1:])
        order = np.argsort(keys)
        self._sorted_keys, self._numbers = keys[order], (order + 1).astype(np.int32)
        few = len(ids) <= _DICTIONARY_ITEMS
        self._dictionary = few if dictionary is None else dictionary

    def __len__(self) -> int:
        return len(self._ids)

    @cached_property
    def _number_of(self) -> dict[bytes, int]:
        return {item_id: n for n, item_id in enumerate(self._ids.tolist()) if n}

    def prepare(self) -> None:
        """Build what requests look ids up in, so that the first one does not wait for it."""
        if self._dictionary:
            _ = self._number_of

    def numbers(self, ids: Sequence[bytes]) -> list[int]:
        """Item numbers of ids as they come in a request; 0 for those that are unknown."""
        if self._dictionary or not ids:
            return [self._number_of.get(item_id, 0) for item_id in ids]
        # Compared in full, since an id of no item may have the key of one.
        found = self.numbers_of_keys(_keys(ids))
        numbers: list[int] = np.where(self._ids[found] == np.array(ids), found, 0).tolist()
        return numbers

    def numbers_of_keys(self, keys: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Item numbers of keys out of the user state, any shape; 0 for items of other releases."""
        place = np.minimum(np.searchsorted(self._sorted_keys, keys), len(self._numbers) - 1)
        return np.where(self._sorted_keys[place] == keys, self._numbers[place], 0)
