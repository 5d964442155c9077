"""A file that one process at a time holds."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


def hold(path: Path) -> IO[str]:
    """Make ``path`` where it is missing, and hold it until it is closed or the process ends.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it cannot be written.
    """
    handle = path.open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise
    return handle
