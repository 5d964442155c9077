"""Events of users as they are stored: packed, the same in every kind of user state.

Value of a user: (item key uint64, timestamp int64) after one another, oldest first. Item keys are
hashes of item ids, so one state serves every release.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVENT = np.dtype([("key", "<u8"), ("timestamp", "<i8")])
KEPT_EVENTS = 1000
"""Newest events kept of each user."""

LONGEST_USER_ID = 511
"""Bytes; LMDB's limit for a key, kept everywhere so that a state can be copied."""

NO_USER = b"\xff"
"""Begins keys in an LMDB folder that hold something else: no UTF-8, so no user can have it."""

UserEvents = tuple[str, NDArray[np.uint64], NDArray[np.int64]]
"""User id, item keys and timestamps of its events, oldest first."""

Packed = tuple[bytes, NDArray[np.void]]
"""User id and its events, ``EVENT``, oldest first."""


@dataclass(frozen=True)
class Stored:
    """What a state holds of B users, with E events in all.

    Attributes:
        events: ``EVENT`` [E], one user after the other.
        counts: int64 [B] with sum E.
        degraded: bool [B], users that could not be read; they have no events here.
    """

    events: NDArray[np.void]
    counts: NDArray[np.int64]
    degraded: NDArray[np.bool_]

    def split(self, users: int) -> tuple[Stored, Stored]:
        """The first ``users`` of them, and the rest."""
        at = int(self.counts[:users].sum())
        return (
            Stored(self.events[:at], self.counts[:users], self.degraded[:users]),
            Stored(self.events[at:], self.counts[users:], self.degraded[users:]),
        )


def unpack(values: Sequence[Any]) -> Stored:
    """Out of the values of users, ``b""`` for an unknown one.

    A value that is cut off counts as one that could not be read; the others stay as they are.
    """
    sizes = [len(value) for value in values]
    degraded = np.zeros(len(values), np.bool_)
    if any(size % EVENT.itemsize for size in sizes):
        degraded = np.array(sizes) % EVENT.itemsize > 0
        values = [b"" if bad else v for bad, v in zip(degraded, values, strict=True)]
        sizes = [len(value) for value in values]
    counts = np.array(sizes, np.int64) // EVENT.itemsize
    return Stored(np.frombuffer(b"".join(values), EVENT), counts, degraded)


def nothing(users: int, *, degraded: bool) -> Stored:
    """No events of so many users: they are unknown, or could not be read."""
    counts = np.zeros(users, np.int64)
    return Stored(np.empty(0, EVENT), counts, np.full(users, degraded, np.bool_))


def keeps(user: bytes) -> bool:
    """Whether an id can be one that a state holds."""
    return 0 < len(user) <= LONGEST_USER_ID


def pack(user: UserEvents) -> Packed:
    """A user as it is stored.

    Raises:
        ValueError: the id is empty or too long.
    """
    name, keys, timestamps = user
    key = name.encode()
    if not keeps(key):
        raise ValueError(f"a user id has 1 to {LONGEST_USER_ID} bytes in UTF-8, got {len(key)}")
    events = np.empty(len(keys), EVENT)
    events["key"], events["timestamp"] = keys, timestamps
    return key, events


def merge(stored: bytes, given: NDArray[np.void]) -> bytes:
    """A user's new value. Merging the same events again changes nothing.

    The same item at the same time is one event. Events of the same time keep the order in which
    they were first given. The newest ``KEPT_EVENTS`` stay. A value that is cut off is replaced.
    """
    before = np.frombuffer(b"" if len(stored) % EVENT.itemsize else stored, EVENT)
    events = np.concatenate([before, given])
    _, first = np.unique(events, return_index=True)
    events = events[np.sort(first)]
    newest = events[np.argsort(events["timestamp"], kind="stable")][-KEPT_EVENTS:]
    return bytes(newest.tobytes())
