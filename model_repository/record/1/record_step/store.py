"""Where events go: log and user state together, in LMDB or in Redis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .event import Event
from .item_ids import item_keys
from .stored import EVENT


class Unwritable(Exception):
    """The store takes nothing now; nothing of the batch is stored."""


class EventStore(Protocol):
    """One store; any number of processes may write it."""

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Those that are stored already.

        Raises:
            Unwritable: the store does not answer.
        """

    def append(self, events: Sequence[Event]) -> list[bool]:
        """Store events, durable when this returns: log and user states change together.

        Returns:
            Of each, whether it is stored now; False: its id was there, and nothing changes.

        Raises:
            Unwritable: nothing is stored.
        """

    def close(self) -> None:
        """Release what was opened."""


def by_user(events: Sequence[Event]) -> Iterator[tuple[bytes, NDArray[np.void]]]:
    """Users of the events that count, and those events as a state holds them, in their order."""
    found: dict[str, list[Event]] = {}
    for event in events:
        if event.counts:
            found.setdefault(event.user_id, []).append(event)
    for user, own in found.items():
        packed = np.empty(len(own), EVENT)
        packed["key"] = item_keys([event.item_id for event in own])
        packed["timestamp"] = [event.timestamp for event in own]
        yield user.encode(), packed
