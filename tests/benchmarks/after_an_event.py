"""What the benchmarks of `record` share: a state of their own, and an answer after an event."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from serving.client import Client, Event, Recommendation, Request


def copy_of_state(repository: Path, name: str) -> Path:
    """A copy of the release's user state beside the real one, so on the same disk."""
    state = repository.resolve().parent / "state"
    copy = state.with_name(f"state-{name}")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(state, copy)
    return copy


@dataclass(frozen=True)
class Change:
    """Answers before and after events, and the seconds from the acknowledgement to the second."""

    before: Recommendation
    after: Recommendation
    seconds: float
    saw: bool
    """The items are gone from the answer, and the scores are others."""


def change(client: Client, before: Recommendation, events: Sequence[Event]) -> Change:
    """Record one user's events one after the other, and ask again once the last is acknowledged."""
    for event in events:
        client.record(event)
    start = time.perf_counter()
    after = client.recommend(Request(events[0].user_id, k=len(before.items)))
    seconds = time.perf_counter() - start
    left = {event.item_id for event in events} & set(after.items)
    return Change(before, after, seconds, not left and after.scores != before.scores)


def show(what: str, seconds: list[float]) -> None:
    cuts = quantiles([s * 1000 for s in seconds], n=100)
    print(
        f"\n{what}: p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms, "
        f"worst {max(seconds) * 1000:.1f} ms ({len(seconds)})",
        end="",
    )
