"""The event log in the LMDB folder of a user state.

Two named data bases beside the users: events by number, and numbers by event id. Their names are
no UTF-8, so no user can have them as an id, and readers of users that know nothing of them read on.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from .stored import NO_USER

LOG, IDS = NO_USER + b"events", NO_USER + b"ids"
TABLES = 2
"""Named data bases in a folder."""
_HEAD = bytes(8)
"""Key of what tells one log from another that was begun in its place."""


def key(number: int) -> bytes:
    """Of the event ``number``, counted from 1."""
    return number.to_bytes(8, "big")


def last_number(transaction: Any, log: Any) -> int:
    """The newest event's number; a log that is empty is begun, with 0."""
    cursor = transaction.cursor(db=log)
    if cursor.last():
        return int.from_bytes(cursor.key(), "big")
    transaction.put(_HEAD, secrets.token_hex(8).encode(), db=log)
    return 0


def identity(transaction: Any, log: Any) -> str:
    """What tells this log from another; "" where nothing was ever written."""
    return str(transaction.get(_HEAD, b"", db=log).decode())


def after(transaction: Any, log: Any, number: int) -> Iterator[tuple[int, bytes]]:
    """Numbers and lines of the events after ``number``, oldest first."""
    cursor = transaction.cursor(db=log)
    if cursor.set_range(key(number + 1)):
        for name, line in cursor:
            yield int.from_bytes(name, "big"), bytes(line)
