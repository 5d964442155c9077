"""Events in Redis: one script a batch, for the stream, the event ids and the users together."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from .event import Event
from .redis_client import client_of
from .redis_line import PREFIX
from .redis_log import EVENT_ID, IDENTITY, STREAM
from .store import Unwritable, by_user
from .stored import merge

_SECONDS = 2.0
_TRIES = 50
"""Others who write the same users at the same time make a batch start over."""

_STORE_IF_UNCHANGED = """
local users, seconds = tonumber(ARGV[1]), ARGV[2]
for i = 1, users do
    local now = redis.call('GET', KEYS[2 + i])
    if (now and redis.sha1hex(now) or '') ~= ARGV[2 + 2 * i] then
        return 0
    end
end
for i = 3 + users, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 1 then
        return 0
    end
end
for i = 3 + users, #KEYS do
    redis.call('XADD', KEYS[1], '*', 'line', ARGV[1 + users + i])
    redis.call('SET', KEYS[i], '', 'EX', seconds)
end
redis.call('SET', KEYS[2], ARGV[3], 'NX')
for i = 1, users do
    redis.call('SET', KEYS[2 + i], ARGV[3 + 2 * i])
end
return 1
"""
"""KEYS: the stream, the log's name, users, event ids. ARGV: how many users, how long ids are kept,
a name for a log that has none, for each user the SHA-1 of the value that was read ('' for none)
and the new one, and the lines. 0: somebody else has written meanwhile, and nothing is changed."""


class RedisStore:
    """Durable as the server's append-only file is: see ``appendfsync`` in its configuration."""

    def __init__(self, url: str, keep_ids_seconds: int) -> None:
        """Connects with the first event; ids are remembered for ``keep_ids_seconds``.

        Raises:
            ValueError: the URL is wrong.
        """
        self._redis, self._failures = client_of(url, _SECONDS)
        self._script: Any = self._redis.register_script(_STORE_IF_UNCHANGED)
        self._keep_ids = keep_ids_seconds

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """As every store."""
        try:
            return self._known(event_ids)
        except self._failures as e:
            raise _unwritable(e) from e

    def append(self, events: Sequence[Event]) -> list[bool]:
        """As every store."""
        try:
            for _ in range(_TRIES):
                seen = self._known([event.event_id for event in events])
                stored = [_first(event.event_id, seen) for event in events]
                new = [event for event, is_new in zip(events, stored, strict=True) if is_new]
                if not new or self._try(new):
                    return stored
        except self._failures as e:
            raise _unwritable(e) from e
        raise _unwritable(f"others wrote the same users {_TRIES} times meanwhile")

    def _known(self, event_ids: Sequence[str]) -> set[str]:
        found = self._redis.mget([EVENT_ID + i.encode() for i in event_ids]) if event_ids else ()
        return {i for i, value in zip(event_ids, found, strict=True) if value is not None}

    def _try(self, new: Sequence[Event]) -> bool:
        users = list(by_user(new))
        keys = [PREFIX + user for user, _ in users]
        values: list[bytes | str] = []
        read = self._redis.mget(keys) if keys else ()
        for stored, (_, events) in zip(read, users, strict=True):
            before = "" if stored is None else sha1(stored, usedforsecurity=False).hexdigest()
            values += [before, merge(stored or b"", events)]
        ids = [EVENT_ID + event.event_id.encode() for event in new]
        head = [len(users), self._keep_ids, secrets.token_hex(8)]
        lines = [event.line() for event in new]
        done = self._script(keys=[STREAM, IDENTITY, *keys, *ids], args=[*head, *values, *lines])
        return bool(done)

    def close(self) -> None:
        """Hang up."""
        self._redis.close()


def _first(event_id: str, seen: set[str]) -> bool:
    """Whether it is not among those seen, to which it is added."""
    is_new = event_id not in seen
    seen.add(event_id)
    return is_new


def _unwritable(reason: object) -> Unwritable:
    return Unwritable(
        f"the user state in Redis cannot be written ({reason}); nothing of this request is known "
        "to be stored, send it again with the same event ids"
    )
