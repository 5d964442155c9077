"""What an event has to be, so that it is stored."""

from __future__ import annotations

import difflib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .event import Event

Tensors = Mapping[str, NDArray[Any]]
"""Tensors of one request by name, each with a row an event: [rows, 1]."""

_REQUIRED = ("user_id", "item_id", "event")
_TEXTS = (*_REQUIRED, "event_id", "request_id")
_NUMBERS = ("timestamp", "position", "release")
_SHOWN: dict[str, Callable[[Any], Any]] = {
    "score": lambda value: round(value, 6),
    # Chances can be small: digits that count, and not those behind the point.
    "propensity": lambda value: float(f"{value:.6g}"),
    "explored": bool,
    "cold_start": bool,
}
"""Of an impression, as it stands in the log."""
_DAY = 86_400


class BadRequest(Exception):
    """The request itself is at fault; the message tells its sender why, and holds no id."""


@dataclass(frozen=True)
class Rules:
    """What the release knows and takes.

    Attributes:
        weights: by event type; events of a type with 0 are logged and join no user's state.
        id_bytes: of the longest id.
        future_seconds: that a timestamp may be ahead of this server's clock.
        past_days: that it may be behind.
    """

    weights: Mapping[str, float]
    id_bytes: int
    future_seconds: int
    past_days: float

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Rules:
        """Out of a model's parameters.

        Raises:
            ValueError: one is missing or of another form.
        """
        try:
            return cls(
                weights={str(n): float(w) for n, w in json.loads(parameters["events"]).items()},
                id_bytes=int(parameters["id_bytes"]),
                future_seconds=int(parameters["future_seconds"]),
                past_days=float(parameters["past_days"]),
            )
        except (KeyError, ValueError, AttributeError) as e:
            raise ValueError(
                "record needs the parameters events (JSON: weights by type), id_bytes, "
                f"future_seconds and past_days in its config.pbtxt: {e!r}"
            ) from e

    def events(self, tensors: Tensors, now: int) -> list[Event]:
        """The rows of one request; ``now`` is this server's clock, in seconds.

        Raises:
            BadRequest: a row is not what it has to be; none of the request is stored.
        """
        rows = len(tensors["user_id"])
        texts = [self._texts(name, tensors.get(name), rows) for name in _TEXTS]
        numbers = [_numbers(name, tensors.get(name), rows) for name in _NUMBERS]
        return [
            Event(
                user_id=user,
                item_id=item,
                event=self._known(event),
                timestamp=self._time(timestamp, now),
                event_id=event_id or secrets.token_hex(16),
                request_id=request_id,
                position=position,
                release=release,
                received=now,
                counts=self.weights[event] > 0,
                **shown,
            )
            for (user, item, event, event_id, request_id), (
                timestamp,
                position,
                release,
            ), shown in zip(
                zip(*texts, strict=True),
                zip(*numbers, strict=True),
                _shown(tensors, rows),
                strict=True,
            )
        ]

    def _texts(self, name: str, tensor: NDArray[Any] | None, rows: int) -> list[str]:
        raw: list[bytes] = [b""] * rows if tensor is None else tensor.ravel().tolist()
        if name in _REQUIRED and not all(raw):
            raise BadRequest(f"{name}: expected a text in every row, got an empty one")
        longest = max(map(len, raw), default=0)
        if longest > self.id_bytes:
            raise BadRequest(f"{name}: expected at most {self.id_bytes} bytes, got {longest}")
        try:
            texts = [text.decode() for text in raw]
        except UnicodeDecodeError:
            raise BadRequest(f"{name}: expected UTF-8, got other bytes") from None
        if any("\0" in text for text in texts):
            raise BadRequest(f"{name}: expected a text without NUL characters")
        return texts

    def _known(self, event: str) -> str:
        if event not in self.weights:
            near = difflib.get_close_matches(event, self.weights, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadRequest(f"event: expected one of {', '.join(sorted(self.weights))}{hint}")
        return event

    def _time(self, timestamp: int, now: int) -> int:
        if not timestamp:
            return now
        earliest, latest = now - round(self.past_days * _DAY), now + self.future_seconds
        if not earliest <= timestamp <= latest:
            raise BadRequest(
                f"timestamp: expected seconds since the epoch, at most {self.past_days:g} days "
                f"old and {self.future_seconds} seconds ahead of the server ({earliest} to "
                f"{latest}), got {timestamp}; 0, or none, takes the server's clock"
            )
        return timestamp


def _numbers(name: str, tensor: NDArray[Any] | None, rows: int) -> list[int]:
    numbers: list[int] = [0] * rows if tensor is None else tensor.ravel().tolist()
    if min(numbers, default=0) < 0:
        raise BadRequest(f"{name}: expected 0, for none, or more, got {min(numbers)}")
    return numbers


def _shown(tensors: Tensors, rows: int) -> list[dict[str, Any]]:
    """What an impression says beside a user's events, of each row."""
    found = {name: tensors[name].ravel() for name in _SHOWN if name in tensors}
    score, propensity = found.get("score"), found.get("propensity")
    if score is not None and not np.isfinite(score).all():
        raise BadRequest("score: expected finite numbers, got others")
    if propensity is not None and not ((propensity >= 0) & (propensity <= 1)).all():
        raise BadRequest("propensity: expected numbers from 0 to 1, got others")
    columns = {name: map(_SHOWN[name], values.tolist()) for name, values in found.items()}
    if not columns:
        return [{}] * rows
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
