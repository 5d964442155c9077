"""How many events a user may send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .event import IMPRESSION, Event


class TooMany(Exception):
    """A user sent more events than this server takes in a minute."""


class Rate:
    """Events of each user in the current minute, counted in this process."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._counts: Counter[str] = Counter()

    def take(self, events: Sequence[Event], now: int) -> None:
        """Count the events of one request, or none of them.

        Args:
            now: seconds since the epoch.

        Raises:
            TooMany: a user has no room for all of its own.
        """
        if now // 60 != self._minute:
            self._minute = now // 60
            self._counts.clear()
        given = Counter(event.user_id for event in events if event.event != IMPRESSION)
        for user, count in given.items():
            if self._counts[user] + count > self._per_minute:
                raise TooMany(
                    f"too many events of one user: expected at most {self._per_minute} a minute; "
                    "nothing of this request is stored, send it again later"
                )
        self._counts.update(given)
