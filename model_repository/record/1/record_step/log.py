"""Reads the event log of a store from the outside, and removes what is too old or too much."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from .lmdb_reader import LmdbLog
from .lmdb_state import SCHEME, folder_of
from .redis_line import SCHEMES, shown
from .redis_reader import RedisLog

Line = tuple[str, bytes]
"""Where an event stands, to go on after it, and its line."""


class EventLog(Protocol):
    """A log; servers may write it meanwhile."""

    start: str
    """Where a reader begins."""

    def identity(self) -> str:
        """What tells it from another that is begun in its place; "" while it is empty."""

    def after(self, place: str) -> Iterator[Line]:
        """Events after one, oldest first; all of those that are there when this begins.

        Raises:
            ValueError: the log cannot be read.
        """

    def remove_through(self, place: str) -> int:
        """Remove events up to one; how many. States stay. LMDB forgets the events' ids, too.

        Raises:
            ValueError: the log cannot be written.
        """

    def close(self) -> None:
        """Release what was opened."""


def open_log(url: str, folder: Path) -> EventLog:
    """The log of a user state's URL; relative folders of ``lmdb://`` start at ``folder``.

    Raises:
        ValueError: the URL is wrong, or the state is not there.
    """
    if url.startswith(SCHEMES):
        return RedisLog(url)
    if not url.startswith(SCHEME) or len(url) == len(SCHEME):
        raise ValueError(
            "expected a user state URL such as 'lmdb:///var/lib/millirank/state' or "
            f"'redis://host:6379/0', got {shown(url)!r}"
        )
    return LmdbLog(folder_of(url, folder))
