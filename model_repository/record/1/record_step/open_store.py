"""The store that a URL names."""

from __future__ import annotations

from pathlib import Path

from .lmdb_state import SCHEME, folder_of
from .lmdb_store import LmdbStore
from .redis_line import SCHEMES, shown
from .redis_store import RedisStore
from .store import EventStore

_DAY = 86_400


def open_store(url: str, repository: Path, limit_mb: int, keep_ids_days: float) -> EventStore:
    """The store of a user state's URL. It is not touched before the first event.

    Args:
        repository: that relative folders of ``lmdb://`` start at.
        limit_mb: that a file of LMDB may have.
        keep_ids_days: that Redis remembers ids of events; in LMDB they stay as long as the events.

    Raises:
        ValueError: the URL is wrong.
    """
    if url.startswith(SCHEMES):
        return RedisStore(url, round(keep_ids_days * _DAY))
    if not url.startswith(SCHEME) or len(url) == len(SCHEME):
        raise ValueError(
            "expected a user state URL such as 'lmdb:///var/lib/millirank/state' or "
            f"'redis://host:6379/0', got {shown(url)!r}"
        )
    return LmdbStore(folder_of(url, repository), limit_mb << 20)
