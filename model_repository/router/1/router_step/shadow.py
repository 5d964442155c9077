"""Requests that a candidate is asked beside the release that answers; nothing of it is returned."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

WAITING = 64
"""Mirrored requests that wait; more are dropped, so that a slow candidate holds nothing up."""


class Shadow:
    """A thread that asks the candidate.

    Args:
        ask: takes what was mirrored, and raises nothing.
    """

    def __init__(self, ask: Callable[[Any], None]) -> None:
        self._ask = ask
        self._waiting: queue.Queue[Any] = queue.Queue(WAITING)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def mirror(self, asked: Any) -> bool:
        """Whether there was room for it."""
        try:
            self._waiting.put_nowait(asked)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """End after the one that is being asked; the candidate may be gone for the others."""
        self._over.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            asked = self._waiting.get()
            if self._over.is_set():
                return
            self._ask(asked)
