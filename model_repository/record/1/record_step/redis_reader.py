"""The event log in Redis, for those who read it out and remove old events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .redis_client import client_of
from .redis_log import FIELD, IDENTITY, STREAM

_AT_A_TIME = 1000
_SECONDS = 10.0


class RedisLog:
    """A stream; see ``EventLog``. Ids of events expire by themselves."""

    start = f"{0:020d}-{0:010d}"

    def __init__(self, url: str) -> None:
        """Connects when first asked.

        Raises:
            ValueError: the URL is wrong.
        """
        self._redis, self._failures = client_of(url, _SECONDS)

    def identity(self) -> str:
        """As every log."""
        found: bytes | None = self._asked(self._redis.get, IDENTITY)
        return (found or b"").decode()

    def after(self, place: str) -> Iterator[tuple[str, bytes]]:
        """As every log."""
        newest = self._asked(self._redis.xrevrange, STREAM, count=1)
        while newest:
            some = self._asked(
                *(self._redis.xrange, STREAM),
                min=f"({_id(place)}",
                max=newest[0][0],
                count=_AT_A_TIME,
            )
            if not some:
                return
            for name, fields in some:
                place = _place(name)
                yield place, fields[FIELD]

    def remove_through(self, place: str) -> int:
        """As every log."""
        removed = 0
        while True:
            some = self._asked(self._redis.xrange, STREAM, max=_id(place), count=_AT_A_TIME)
            if not some:
                return removed
            removed += int(self._asked(self._redis.xdel, STREAM, *(name for name, _ in some)))

    def _asked(self, command: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except self._failures as e:
            raise ValueError(f"the event log in Redis does not answer: {e}") from e

    def close(self) -> None:
        """As every log."""
        self._redis.close()


def _place(name: bytes) -> str:
    """The id of an entry, so that later ones are later as texts, too."""
    milliseconds, _, number = name.decode().partition("-")
    return f"{int(milliseconds):020d}-{int(number):010d}"


def _id(place: str) -> str:
    milliseconds, _, number = place.partition("-")
    return f"{int(milliseconds)}-{int(number)}"
