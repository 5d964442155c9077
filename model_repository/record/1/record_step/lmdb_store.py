"""Events in LMDB: one synced transaction a batch, for the log and the users together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from .event import Event
from .lmdb_log import IDS, LOG, TABLES, key, last_number
from .store import Unwritable, by_user
from .stored import merge

Given = TypeVar("Given")
Result = TypeVar("Result")
_FIRST_MAP_BYTES = 64 << 20


class LmdbStore:
    """Opens the folder with the first event, and anew after any failure.

    So a server starts on a state that it may not write, and goes on when a full disk has room
    again. LMDB lets one process write at a time; others wait.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Store in ``folder``, made if absent, whose file grows to ``limit_bytes``."""
        self._folder = folder
        self._limit = limit_bytes
        self._env: Any = None
        self._tables: tuple[Any, Any] | None = None

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """As every store."""
        return set(self._retried(self._known, event_ids))

    def append(self, events: Sequence[Event]) -> list[bool]:
        """As every store."""
        return self._retried(self._append, events)

    def _retried(
        self, work: Callable[[Sequence[Given]], list[Result]], given: Sequence[Given]
    ) -> list[Result]:
        """``work``, with the folder opened and its file made larger as needed."""
        try:
            while True:
                try:
                    self._open()
                    return work(given)
                except lmdb.MapResizedError:  # by another writer
                    self._env.set_mapsize(0)
                except lmdb.MapFullError:
                    self._grow()
        except (lmdb.Error, OSError) as e:
            self.close()
            raise Unwritable(
                f"the user state cannot be written ({e}); nothing of this request is stored. "
                "Check permissions and free space, then send it again"
            ) from e

    def _open(self) -> None:
        if self._env is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._env = lmdb.open(
                str(self._folder),
                map_size=_FIRST_MAP_BYTES,
                max_readers=1024,
                max_dbs=TABLES,
                readahead=False,
            )
            self._env.reader_check()  # readers that were killed keep pages from being used again
        if self._tables is None:
            self._tables = self._env.open_db(LOG), self._env.open_db(IDS)

    def _known(self, event_ids: Sequence[str]) -> list[str]:
        assert self._tables
        with self._env.begin(db=self._tables[1]) as transaction:
            return [i for i in event_ids if transaction.get(i.encode()) is not None]

    def _append(self, events: Sequence[Event]) -> list[bool]:
        assert self._tables
        log, ids = self._tables
        stored = []
        with self._env.begin(write=True) as transaction:
            number = last_number(transaction, log)
            for event in events:
                name, at = event.event_id.encode(), key(number + 1)
                stored.append(transaction.put(name, at, overwrite=False, db=ids))
                if stored[-1]:
                    transaction.put(at, event.line(), append=True, db=log)
                    number += 1
            new = [event for event, is_new in zip(events, stored, strict=True) if is_new]
            for user, packed in by_user(new):
                transaction.put(user, merge(transaction.get(user, b""), packed))
        return stored

    def _grow(self) -> None:
        if self._env.reader_check():
            return  # there is room that readers who were killed have kept
        size = self._env.info()["map_size"]
        larger = min(2 * size, self._limit)
        if larger <= size:
            raise Unwritable(
                f"the user state has the {self._limit >> 20} MB that it may have; nothing of this "
                "request is stored. Remove old events with 'millirank events prune', or raise "
                "record.state_limit_mb"
            )
        self._env.set_mapsize(larger)

    def close(self) -> None:
        """Release the file."""
        env, self._env, self._tables = self._env, None, None
        if env is not None:
            env.close()
