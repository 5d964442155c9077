"""Writes users into Redis, and goes through those that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from itertools import islice
from typing import Any

import numpy as np

from .redis_client import client_of
from .redis_line import PREFIX
from .stored import EVENT, Packed, merge

_SECONDS = 10.0
_SET_IF_UNCHANGED = """
local changed = {}
for i, key in ipairs(KEYS) do
    local now = redis.call('GET', key)
    if (now and redis.sha1hex(now) or '') == ARGV[2 * i - 1] then
        redis.call('SET', key, ARGV[2 * i])
    else
        changed[#changed + 1] = i
    end
end
return changed
"""
"""Keys, and for each the SHA-1 of the value that was read ('' for none) and the new value.
Answers the places of the keys that somebody else has written meanwhile, which stay as they are."""


class RedisUsers:
    """All users in Redis. Any number of processes may write at a time; no event is lost.

    Values are merged here, by the code that every state shares, and set only where they are
    still what was read; the others are read and merged again.
    """

    batch = 100
    """Users in one script: others wait for a script, and readers wait for milliseconds only."""

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            ValueError: the URL is wrong, or Redis does not answer.
        """
        self._redis, self._failures = client_of(url, _SECONDS)
        self._set: Any = self._redis.register_script(_SET_IF_UNCHANGED)
        try:
            self._redis.ping()
        except self._failures as e:
            self.close()
            raise ValueError(f"Redis does not answer: {e}") from e

    def count(self) -> int:
        """How many keys there are: at least as many as users."""
        return int(self._redis.dbsize())

    def all(self) -> Iterator[Packed]:
        """Every user, some perhaps twice; one whose value is cut off has no events.

        Raises:
            ValueError: Redis does not answer any more.
        """
        try:
            keys = self._redis.scan_iter(match=PREFIX + b"*", count=1000)
            while some := list(islice(keys, self.batch)):
                for key, value in zip(some, self._redis.mget(some), strict=True):
                    whole = value if value and len(value) % EVENT.itemsize == 0 else b""
                    yield key.removeprefix(PREFIX), np.frombuffer(whole, EVENT)
        except self._failures as e:
            raise ValueError(f"the user state in Redis cannot be read: {e}") from e

    def merge(self, users: Sequence[Packed]) -> None:
        """Merge events into those of the users, each user atomically.

        Raises:
            ValueError: Redis does not take them.
        """
        try:
            for start in range(0, len(users), self.batch):
                left = list(users[start : start + self.batch])
                while left:
                    left = [left[place - 1] for place in self._try(left)]
        except self._failures as e:
            raise ValueError(f"the user state in Redis cannot be written: {e}") from e

    def _try(self, users: Sequence[Packed]) -> list[int]:
        """Places, from 1, of those that have to be merged again."""
        keys = [PREFIX + user for user, _ in users]
        values: list[bytes | str] = []
        for stored, (_, events) in zip(self._redis.mget(keys), users, strict=True):
            read = "" if stored is None else sha1(stored, usedforsecurity=False).hexdigest()
            values += [read, merge(stored or b"", events)]
        changed: list[int] = self._set(keys=keys, args=values)
        return changed

    def close(self) -> None:
        """Hang up."""
        self._redis.close()

    def __enter__(self) -> RedisUsers:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
