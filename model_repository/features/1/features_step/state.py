"""User state: each user's newest events, in an LMDB folder outside the repository.

Key: the user id. Value: packed (item key uint64, timestamp int64), oldest first. Item keys are
hashes of item ids, so one state serves every release. One process writes, many read, and readers
never wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray

EVENT = np.dtype([("key", "<u8"), ("timestamp", "<i8")])
KEPT_EVENTS = 1000
"""Newest events kept of each user."""

LONGEST_USER_ID = 511
"""Bytes; LMDB's limit for a key."""

_SCHEME = "lmdb://"
_FIRST_MAP_BYTES = 64 << 20
_USERS_PER_WRITE = 10_000

UserEvents = tuple[str, NDArray[np.uint64], NDArray[np.int64]]
"""User id, item keys and timestamps of its events, oldest first."""


def resolve_state(url: str, repository: Path) -> Path:
    """Folder that a state URL names: ``lmdb:///absolute`` or ``lmdb://relative/to/repository``.

    Raises:
        ValueError: another scheme, or no folder.
    """
    if not url.startswith(_SCHEME) or len(url) == len(_SCHEME):
        raise ValueError(
            f"expected a user state URL such as 'lmdb:///var/lib/millirank/state', got {url!r}"
        )
    return (repository / url.removeprefix(_SCHEME)).resolve()


class UserState:
    """Reads the events of users. A folder that does not exist holds no users."""

    def __init__(self, folder: Path) -> None:
        """Open for reading.

        Raises:
            ValueError: the folder exists, but holds no user state.
        """
        self._env: Any = None
        if not folder.exists():
            return
        try:
            self._env = lmdb.open(
                str(folder), readonly=True, create=False, max_readers=1024, readahead=False
            )
        except lmdb.Error as e:
            raise ValueError(
                f"{folder} holds no user state ({e}); remove it, or name another folder in the "
                "environment variable MILLIRANK_STATE"
            ) from e

    @property
    def there(self) -> bool:
        """Whether there is a state at all."""
        return self._env is not None

    def read(self, users: Sequence[bytes]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """Events of all users, one after the other, and how many each user has.

        One transaction for the whole batch. Unknown users have none.

        Returns:
            ``EVENT`` [E] and int64 [B] with sum E.
        """
        if self._env is None:
            return np.empty(0, EVENT), np.zeros(len(users), np.int64)
        with self._begin() as transaction:
            # An id that LMDB cannot hold as a key is the id of an unknown user.
            found = [
                transaction.get(user, b"") if 0 < len(user) <= LONGEST_USER_ID else b""
                for user in users
            ]
            events = np.frombuffer(b"".join(found), EVENT)
            return events, np.array([len(f) // EVENT.itemsize for f in found], np.int64)

    def _begin(self) -> Any:
        try:
            return self._env.begin(buffers=True)
        except lmdb.MapResizedError:  # a writer has made the file larger
            self._env.set_mapsize(0)
            return self._env.begin(buffers=True)

    def close(self) -> None:
        """Release the file."""
        if self._env is not None:
            self._env.close()
            self._env = None


def seed(folder: Path, users: Iterable[UserEvents]) -> int:
    """Merge events into the state; creates the folder. Doing it twice changes nothing.

    The same item at the same time is one event. Events of the same time keep the order in which
    they were first given. The newest ``KEPT_EVENTS`` of a user stay.

    Returns:
        How many users were given.

    Raises:
        ValueError: a user id is empty or too long, or the folder cannot be written.
    """
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lmdb.open(str(folder), map_size=_FIRST_MAP_BYTES, max_readers=1024) as env:
            source = iter(users)
            while batch := list(islice(source, _USERS_PER_WRITE)):
                _write(env, [(_user_key(user), keys, times) for user, keys, times in batch])
                count += len(batch)
    except (lmdb.Error, OSError) as e:
        raise ValueError(f"the user state {folder} cannot be written: {e}") from e
    return count


def _write(env: Any, batch: list[tuple[bytes, Any, Any]]) -> None:
    """One transaction; started over with twice the room when the file is full."""
    try:
        with env.begin(write=True) as transaction:
            for user, keys, timestamps in batch:
                merged = _merge(transaction.get(user, b""), keys, timestamps)
                transaction.put(user, merged.tobytes())
    except lmdb.MapFullError:
        env.set_mapsize(2 * env.info()["map_size"])
        _write(env, batch)


def _merge(
    stored: bytes, keys: NDArray[np.uint64], timestamps: NDArray[np.int64]
) -> NDArray[np.void]:
    given = np.empty(len(keys), EVENT)
    given["key"], given["timestamp"] = keys, timestamps
    events = np.concatenate([np.frombuffer(stored, EVENT), given])
    _, first = np.unique(events, return_index=True)
    events = events[np.sort(first)]
    newest: NDArray[np.void] = events[np.argsort(events["timestamp"], kind="stable")][-KEPT_EVENTS:]
    return newest


def _user_key(user: str) -> bytes:
    key = user.encode()
    if not 0 < len(key) <= LONGEST_USER_ID:
        raise ValueError(f"a user id has 1 to {LONGEST_USER_ID} bytes in UTF-8, got {len(key)}")
    return key
