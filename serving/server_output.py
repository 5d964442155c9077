"""Passes a server's output on, line by line, and keeps no more than its last lines."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

_KEPT = 500
"""Lines; what goes wrong is said in the last ones."""
_END_SECONDS = 5.0


class FollowedOutput:
    """Reads ``stream`` until its end, in a thread of its own."""

    def __init__(self, stream: IO[str], take: Callable[[str], None]) -> None:
        """``take`` gets each line without its end; one that it cannot write is lost."""
        self._stream, self._take = stream, take
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        for line in self._stream:
            text = line.rstrip("\n")
            self._lines.append(text)
            # Whatever happens, go on reading: a server whose output nobody reads stands still.
            with contextlib.suppress(OSError, ValueError):
                self._take(text)

    def lines(self) -> list[str]:
        """The last lines; all of those that came before the end, of a server that has ended."""
        self._thread.join(0.2)
        return list(self._lines)

    def finish(self) -> None:
        """Wait for the rest of the output of a server that has ended."""
        self._thread.join(_END_SECONDS)
        if not self._thread.is_alive():
            self._stream.close()
