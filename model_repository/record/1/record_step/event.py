"""One event, and its line in the log."""

from __future__ import annotations

import json
from dataclasses import dataclass

COLUMNS = (
    *("user_id", "item_id", "event", "timestamp", "event_id"),
    *("request_id", "position", "release", "received", "score"),
    *("propensity", "explored", "cold_start"),
)
"""Of a line, which is a JSON array: an order that later versions may only add to."""
_FEWEST = 10
"""Values of a line of the first version; what a line does not have is not known."""

IMPRESSION = "impression"
"""The type of what servers themselves log: an item that was shown."""


@dataclass(frozen=True)
class Event:
    """What a user did.

    Attributes:
        event: its type.
        timestamp: seconds since the epoch, when it happened.
        event_id: the same event sent again has the same.
        request_id: of the recommendation that it answers; "" where none is known.
        position: of the item in that recommendation, from 1; 0 where none is known.
        release: that made it; 0 where none is known.
        received: seconds since the epoch, on this server's clock.
        score: with which the item was shown; None but for impressions.
        propensity: chance with which its place showed the item, given the places before it;
            explored: the place was given to exploration; None where the release does not explore.
        cold_start: nothing was known of the user; None but for impressions.
        counts: the type has a weight above 0, so the event joins the user's state.
    """

    user_id: str
    item_id: str
    event: str
    timestamp: int
    event_id: str
    request_id: str
    position: int
    release: int
    received: int
    score: float | None = None
    propensity: float | None = None
    explored: bool | None = None
    cold_start: bool | None = None
    counts: bool = True

    def line(self) -> bytes:
        """As it stands in the log."""
        values = [getattr(self, column) for column in COLUMNS]
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def row_of(line: bytes) -> dict[str, str | int | float | bool | None]:
    """A line by column; what was not known is None.

    Raises:
        ValueError: it is no line of a log.
    """
    values = json.loads(line)
    if not isinstance(values, list) or len(values) < _FEWEST:
        raise ValueError(f"expected a line of {_FEWEST} values or more, got another")
    row = dict.fromkeys(COLUMNS) | dict(zip(COLUMNS, values, strict=False))
    return row | {name: row[name] or None for name in ("request_id", "position", "release")}
