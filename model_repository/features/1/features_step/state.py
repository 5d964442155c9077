"""User state: each user's newest events, in LMDB or in Redis; which, the scheme of a URL says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from .lmdb_state import SCHEME, LmdbState, folder_of
from .lmdb_users import LmdbUsers, seed
from .redis_line import SCHEMES, Line, options_of, shown
from .redis_state import Logger, RedisState
from .redis_users import RedisUsers
from .stored import KEPT_EVENTS, Stored

__all__ = ["KEPT_EVENTS", "Logger", "UserState", "copy_state", "open_state", "seed"]


class UserState(Protocol):
    """Reads the events of users; one instance belongs to one thread of one process."""

    @property
    def there(self) -> bool:
        """Whether there is a state at all."""

    def read(self, users: Sequence[bytes]) -> Stored:
        """Events of all users of a batch; unknown users have none. Raises nothing."""

    def close(self) -> None:
        """Release what was opened."""


def open_state(url: str, repository: Path, timeout_ms: str, logger: Logger | None) -> UserState:
    """The user state that a URL names.

    Args:
        repository: that relative folders of ``lmdb://`` start at.
        timeout_ms: milliseconds that Redis has for a batch.
        logger: is told when Redis is lost and when it is back.

    Raises:
        ValueError: the URL, the password file or the time limit is wrong, or the folder is.
    """
    if not url.startswith(SCHEMES):
        return LmdbState(_folder(url, repository))
    if not timeout_ms.isdecimal() or int(timeout_ms) < 1:
        raise ValueError(f"state_timeout_ms is a whole number from 1, got {timeout_ms!r}")
    options, limit = options_of(url), int(timeout_ms) / 1000
    return RedisState(lambda: Line(options, limit), logger, shown(url))


def copy_state(
    source: str, target: str, folder: Path, progress: Callable[[int, int], object]
) -> int:
    """Merge all users of one state into another; doing it twice changes nothing.

    Args:
        folder: that relative folders start at.
        progress: is told how many users are done, and about how many there are.

    Returns:
        How many users were merged.

    Raises:
        ValueError: a URL is wrong, both are the same, or one cannot be read or written.
    """
    if source == target:
        raise ValueError(f"expected two states, got {shown(source)!r} twice")
    done = 0
    with _users(source, folder, create=False) as old, _users(target, folder, create=True) as new:
        users, total = old.all(), old.count()
        while batch := list(islice(users, new.batch)):
            new.merge(batch)
            done += len(batch)
            progress(done, max(total, done))
    return done


def _users(url: str, folder: Path, *, create: bool) -> LmdbUsers | RedisUsers:
    if url.startswith(SCHEMES):
        return RedisUsers(url)
    return LmdbUsers(_folder(url, folder), create=create)


def _folder(url: str, repository: Path) -> Path:
    if not url.startswith(SCHEME) or len(url) == len(SCHEME):
        raise ValueError(
            "expected a user state URL such as 'lmdb:///var/lib/millirank/state' or "
            f"'redis://host:6379/0', got {shown(url)!r}"
        )
    return folder_of(url, repository)
