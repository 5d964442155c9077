"""Writes users into an LMDB folder, and goes through those that it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

from .stored import EVENT, NO_USER, Packed, UserEvents, merge, pack

_FIRST_MAP_BYTES = 64 << 20


class LmdbUsers:
    """All users of a folder, for the one process that writes it."""

    batch = 10_000
    """Users in one transaction."""

    def __init__(self, folder: Path, *, create: bool) -> None:
        """Open for writing, and make the folder if absent; or, without ``create``, for reading.

        Raises:
            ValueError: it cannot be opened.
        """
        self._folder = folder
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            self._env = _opened(folder, create=create)
        except (lmdb.Error, OSError) as e:
            does = "written" if create else "read"
            raise ValueError(f"the user state {folder} cannot be {does}: {e}") from e

    def count(self) -> int:
        """How many users there are."""
        with self._env.begin() as transaction:
            cursor = transaction.cursor()
            others = sum(1 for _ in cursor) if cursor.set_range(NO_USER) else 0
        return int(self._env.stat()["entries"]) - others

    def all(self) -> Iterator[Packed]:
        """Every user; one whose value is cut off has no events."""
        with self._env.begin() as transaction:
            for user, value in transaction.cursor():
                if user.startswith(NO_USER):  # the event log and the like, after all users
                    return
                yield user, np.frombuffer(b"" if len(value) % EVENT.itemsize else value, EVENT)

    def merge(self, users: Sequence[Packed]) -> None:
        """Merge events into those of the users, in one transaction.

        Raises:
            ValueError: the folder cannot be written.
        """
        try:
            self._write(users)
        except (lmdb.Error, OSError) as e:
            raise ValueError(f"the user state {self._folder} cannot be written: {e}") from e

    def _write(self, users: Sequence[Packed]) -> None:
        """Started over with twice the room when the file is full."""
        try:
            with self._env.begin(write=True) as transaction:
                for user, events in users:
                    transaction.put(user, merge(transaction.get(user, b""), events))
        except lmdb.MapFullError:
            self._env.set_mapsize(2 * self._env.info()["map_size"])
            self._write(users)

    def close(self) -> None:
        """Release the file."""
        self._env.close()

    def __enter__(self) -> LmdbUsers:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def _opened(folder: Path, *, create: bool) -> Any:
    """For reading, also a folder that is somebody else's.

    Readers note themselves in the folder. Where they may not, they read a state that is taken to
    have no writer meanwhile: a build's.
    """
    options: dict[str, Any] = {"map_size": _FIRST_MAP_BYTES, "max_readers": 1024, "create": create}
    try:
        return lmdb.open(str(folder), **options, readonly=not create)
    except (lmdb.ReadonlyError, PermissionError):
        if create:
            raise
        return lmdb.open(str(folder), **options, readonly=True, lock=False)


def seed(folder: Path, users: Iterable[UserEvents]) -> int:
    """Merge events into the state; creates the folder. Doing it twice changes nothing.

    See ``stored.merge`` for what becomes of a user's events.

    Returns:
        How many users were given.

    Raises:
        ValueError: a user id is empty or too long, or the folder cannot be written.
    """
    count = 0
    with LmdbUsers(folder, create=True) as state:
        source = iter(users)
        while batch := list(islice(source, LmdbUsers.batch)):
            state.merge([pack(user) for user in batch])
            count += len(batch)
    return count
