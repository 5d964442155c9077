"""Clients in threads, from ``with`` to its end."""

from __future__ import annotations

import threading
from typing import Self


class ClientThreads:
    """Base of loads: makes ``_threads``, which end soon after ``_over`` is set."""

    _threads: list[threading.Thread]
    _over: threading.Event

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
