"""Work that the router has begun and does not wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AT_ONCE = 128
"""Requests to releases that are under way: Triton's ``async_exec`` takes a thread for each, and
those of asyncio, a few more than there are cores, would all wait for a slow candidate."""


class Background:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(AT_ONCE)
        self._loop.set_default_executor(self._threads)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Start it; it raises nothing."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End; nothing is under way any more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._threads.shutdown()
