"""Stores of both kinds with events in them, and what a state must hold by plain Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE

KEPT = 1000
NOW = 1_800_000_000
FEATURES = load_step(SOURCE / "features" / "1")
RECORD = load_step(SOURCE / "record" / "1")


def event(event_id: str, user: str = "u", item: str = "i", at: int = NOW, **more: Any) -> Any:
    values: dict[str, Any] = {
        "event": "click",
        "request_id": "",
        "position": 0,
        "release": 0,
        "received": NOW,
        "user_id": user,
        "item_id": item,
        "timestamp": at,
        "event_id": event_id,
    }
    return RECORD.Event(**(values | more))


def state_of(
    events: Sequence[Any], before: Sequence[tuple[str, int]] = ()
) -> list[tuple[str, int]]:
    """Items and times of one user's events in the order of the log, as its state must hold them."""
    pairs = [*before, *((e.item_id, e.timestamp) for e in events if e.counts)]
    return sorted(dict.fromkeys(pairs), key=lambda pair: pair[1])[-KEPT:]


@dataclass
class Kind:
    """A store of one kind, empty at first, named by a URL."""

    url: str
    put: Callable[[str, bytes], object]

    def open(self, limit_mb: int = 64) -> Any:
        return RECORD.open_store(self.url, Path("/"), limit_mb, 7)

    def append(self, *batches: Sequence[Any]) -> list[list[bool]]:
        store = self.open()
        stored = [store.append(batch) for batch in batches]
        store.close()
        return stored

    def state(self, items: Sequence[str], user: str = "u") -> list[tuple[str, int]]:
        """What a reader of users finds, with items by name."""
        names = dict(zip(FEATURES.item_keys(items).tolist(), items, strict=True))
        state = FEATURES.open_state(self.url, Path("/"), "1000", None)
        found = state.read([user.encode()]).events
        state.close()
        return [(names[int(key)], int(at)) for key, at in found.tolist()]

    def log(self) -> list[dict[str, Any]]:
        log = RECORD.open_log(self.url, Path("/"))
        rows = [RECORD.row_of(line) for _, line in log.after(log.start)]
        log.close()
        return rows
