"""Stores a batch of requests: what Triton calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .event import Event
from .open_store import open_store
from .rate import Rate, TooMany
from .rules import BadRequest, Rules, Tensors
from .store import EventStore, Unwritable

STORED, THERE = 1, 2
"""Values of ``accepted``: stored now, or there already."""

COUNTED = {
    "events_stored": "Events stored, impressions among them",
    "events_repeated": "Events that were stored already",
    "events_refused": "Requests refused for what they hold",
    "events_rate_limited": "Requests refused for the number of a user's events",
    "events_unwritten": "Requests refused since the user state could not be written",
}
"""Counters of the model, and what they count."""


@dataclass(frozen=True)
class Answer:
    """Of one request, with a row an event: ``accepted`` uint8 [rows, 1] and ``event_id``."""

    accepted: NDArray[np.uint8]
    event_id: NDArray[np.object_]


Outcome = Answer | BadRequest | TooMany | Unwritable


class RecordService:
    """Checks events and stores them."""

    def __init__(
        self,
        store: EventStore,
        rules: Rules,
        rate: Rate,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._rules = rules
        self._rate = rate
        self._clock = clock

    @classmethod
    def open(cls, version: Path, parameters: Mapping[str, str], state: str) -> RecordService:
        """``version`` is the version folder in a repository, ``state`` the user state's URL.

        Raises:
            ValueError: the URL or a parameter is wrong or missing.
        """
        rules = Rules.parse(parameters)
        try:
            per_minute, limit_mb = int(parameters["per_minute"]), int(parameters["state_limit_mb"])
        except (KeyError, ValueError) as e:
            raise ValueError(
                "record needs the parameters per_minute and state_limit_mb as whole numbers in "
                f"its config.pbtxt: {e!r}"
            ) from e
        store = open_store(state, version.parent.parent, limit_mb, rules.past_days)
        return cls(store, rules, Rate(per_minute))

    def answer(self, requests: Sequence[Tensors]) -> list[Outcome]:
        """One outcome a request: all of its events are stored, or none.

        All requests share one write to the store, and fail together where it fails.
        """
        now = int(self._clock())
        outcome: dict[int, Outcome] = {}
        events: dict[int, list[Event]] = {}
        for place, tensors in enumerate(requests):
            try:
                events[place] = self._rules.events(tensors, now)
            except BadRequest as e:
                outcome[place] = e
        if not events:
            return [outcome[place] for place in range(len(requests))]
        try:
            known = self.store.known([e.event_id for own in events.values() for e in own])
            for place, own in list(events.items()):
                try:
                    self._rate.take([e for e in own if e.event_id not in known], now)
                except TooMany as e:
                    outcome[place] = e
                    del events[place]
            stored = iter(self.store.append([e for own in events.values() for e in own]))
        except Unwritable as e:
            return [outcome.get(place, e) for place in range(len(requests))]
        for place, own in events.items():
            outcome[place] = _answer(own, [next(stored) for _ in own])
        return [outcome[place] for place in range(len(requests))]

    @staticmethod
    def count(outcomes: Sequence[Outcome]) -> tuple[int, ...]:
        """What a batch adds to each of ``COUNTED``."""
        good = [o.accepted for o in outcomes if isinstance(o, Answer)]
        return (
            sum(int((a == STORED).sum()) for a in good),
            sum(int((a == THERE).sum()) for a in good),
            *(sum(isinstance(o, kind) for o in outcomes) for kind in (BadRequest, TooMany)),
            sum(isinstance(o, Unwritable) for o in outcomes),
        )


def _answer(events: Sequence[Event], stored: Sequence[bool]) -> Answer:
    accepted = np.where(np.array(stored, np.bool_), STORED, THERE).astype(np.uint8)
    ids = np.array([e.event_id.encode() for e in events], np.object_)
    return Answer(accepted[:, None], ids[:, None])
