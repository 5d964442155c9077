"""User state in an LMDB folder outside the repository: of one server, or of one machine's.

Key: the user id. One process writes, many read, and readers never wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb

from .stored import Stored, keeps, nothing, unpack

SCHEME = "lmdb://"
_FILE = "data.mdb"


def folder_of(url: str, repository: Path) -> Path:
    """Folder that a URL names: ``lmdb:///absolute`` or ``lmdb://relative/to/repository``."""
    return (repository / url.removeprefix(SCHEME)).resolve()


class LmdbState:
    """Reads the events of users. A folder that does not exist holds no users."""

    def __init__(self, folder: Path) -> None:
        """Open for reading.

        Raises:
            ValueError: the folder exists, but holds no user state.
        """
        self._folder = folder
        self._env: Any = None
        if folder.exists():
            self._env = _opened(folder)

    @property
    def there(self) -> bool:
        """Whether there is a state at all."""
        return self._env is not None

    def read(self, users: Sequence[bytes]) -> Stored:
        """Events of all users; unknown ones have none. One transaction for the whole batch."""
        if self._env is None and not self._begun():
            return nothing(len(users), degraded=False)
        with self._begin() as transaction:
            # An id that LMDB cannot hold as a key is the id of an unknown user.
            return unpack([transaction.get(u, b"") if keeps(u) else b"" for u in users])

    def _begun(self) -> bool:
        """Whether somebody has begun the state since: the first event that is recorded does."""
        try:
            self._env = _opened(self._folder) if (self._folder / _FILE).exists() else None
        except ValueError:  # it is being made at this moment
            self._env = None
        return self.there

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


def _opened(folder: Path) -> Any:
    try:
        return lmdb.open(
            str(folder), readonly=True, create=False, max_readers=1024, readahead=False
        )
    except lmdb.Error as e:
        raise ValueError(
            f"{folder} holds no user state ({e}); remove it, or name another folder in the "
            "environment variable MILLIRANK_STATE"
        ) from e
