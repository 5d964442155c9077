"""The event log in LMDB, for those who read it out and remove old events."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from .event import row_of
from .lmdb_log import IDS, LOG, TABLES, after, identity, key

_AT_A_TIME = 1000
"""Events that are removed in one transaction: servers that write wait for it."""


class LmdbLog:
    """Opens the folder for each call; see ``EventLog``."""

    start = f"{0:020d}"

    def __init__(self, folder: Path) -> None:
        """The log in ``folder``.

        Raises:
            ValueError: there is no such folder.
        """
        if not folder.is_dir():
            raise ValueError(f"expected a user state in {folder}, but there is no such folder")
        self._folder = folder

    def identity(self) -> str:
        """As every log."""
        with self._env() as env, env.begin() as transaction:
            log = _table(env, LOG, transaction)
            return "" if log is None else identity(transaction, log)

    def after(self, place: str) -> Iterator[tuple[str, bytes]]:
        """As every log."""
        with self._env() as env, env.begin() as transaction:
            log = _table(env, LOG, transaction)
            if log is not None:
                for number, line in after(transaction, log, int(place)):
                    yield f"{number:020d}", line

    def remove_through(self, place: str) -> int:
        """As every log. The newest event always stays: numbers go on from it."""
        removed = 0
        try:
            with self._env(readonly=False) as env:
                while count := self._remove_some(env, int(place)):
                    removed += count
        except (lmdb.Error, OSError) as e:
            raise ValueError(f"the event log in {self._folder} cannot be written: {e}") from e
        return removed

    def _remove_some(self, env: Any, last: int) -> int:
        with env.begin(write=True) as transaction:
            log, ids = _table(env, LOG, transaction), _table(env, IDS, transaction)
            if log is None or ids is None:
                return 0
            cursor = transaction.cursor(db=log)
            newest = int.from_bytes(cursor.key(), "big") if cursor.last() else 0
            old = list(islice(after(transaction, log, 0), _AT_A_TIME))
            old = [(number, line) for number, line in old if number <= last and number < newest]
            for number, line in old:
                transaction.delete(key(number), db=log)
                transaction.delete(str(row_of(line)["event_id"]).encode(), db=ids)
            return len(old)

    def _env(self, *, readonly: bool = True) -> Any:
        try:
            return lmdb.open(
                str(self._folder), readonly=readonly, create=False, max_readers=1024, max_dbs=TABLES
            )
        except (lmdb.Error, OSError) as e:
            raise ValueError(f"the event log in {self._folder} cannot be opened: {e}") from e

    def close(self) -> None:
        """As every log."""


def _table(env: Any, name: bytes, transaction: Any) -> Any:
    """A named data base; None before the first event."""
    try:
        return env.open_db(name, transaction, create=False)
    except lmdb.NotFoundError:
        return None
