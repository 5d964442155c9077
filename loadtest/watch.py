"""What the process that waits for a load does meanwhile: sample memory, hand progress on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from loadtest.memory import Samples, by_process, server_memory
from loadtest.progress import Progress, Tell, read_progress

TICK_SECONDS = (0.5, 2.0)
"""Between two samples: a fiftieth of the run, within these."""


class Watch:
    """A thread of its own from ``with`` to its end.

    Args:
        server_pid: of the server; 0 leaves its memory out.
        progress: file that the load process writes.
        seconds: length of the run.
        tell: takes each progress.
    """

    def __init__(
        self,
        server_pid: int,
        progress: Path,
        seconds: float,
        tell: Tell | None = None,
        sample: Callable[[int], dict[str, float]] = server_memory,
    ) -> None:
        self._pid, self._file, self._tell, self._sample = server_pid, progress, tell, sample
        self._tick = min(max(seconds / 50, TICK_SECONDS[0]), TICK_SECONDS[1])
        self._seen: list[tuple[float, dict[str, float]]] = []
        self._last: Progress | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def memory(self) -> dict[str, Samples]:
        """Of the measured time alone: without the warm-up, and what came after the load."""
        if self._last is None:
            return {}
        begun, seconds = self._last.begun, self._last.seconds
        since = [(moment - begun, memory) for moment, memory in self._seen]
        return by_process([(s, memory) for s, memory in since if 0 <= s <= seconds])

    def _run(self) -> None:
        while not self._over.wait(self._tick):
            self._look()
            if self._pid:
                self._seen.append((time.monotonic(), self._sample(self._pid)))
        self._look()

    def _look(self) -> None:
        told = read_progress(self._file)
        if told is not None and told != self._last:
            self._last = told
            if self._tell is not None:
                self._tell(told)
