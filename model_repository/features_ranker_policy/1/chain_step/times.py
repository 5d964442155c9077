"""How long requests spend in each stage: sums for the metrics, moments for a load test."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

FLUSH_SECONDS = 0.1
"""Each report is a message to the server, so they are summed up for so long."""

Report = Callable[[str, int, int], None]


class StageTimes:
    """Sums up nanoseconds and requests of each stage, and reports them a tenth of a second later.

    Requests of one batch each wait for all, so a batch counts once for each of its requests,
    as in Triton's own statistics.

    Args:
        report: takes a stage, nanoseconds and requests, to be added to what it got before.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[int, int]] = {}
        self._more, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._flush_in_time, daemon=True)
        self._thread.start()

    def add(self, stage: str, nanoseconds: int, requests: int) -> None:
        """A stage took ``nanoseconds`` for a batch of ``requests``."""
        with self._lock:
            if not self._sums:
                self._more.set()
            spent, count = self._sums.get(stage, (0, 0))
            self._sums[stage] = spent + nanoseconds * requests, count + requests

    def close(self) -> None:
        """Report what is left, and nothing afterwards."""
        self._over.set()
        self._more.set()
        self._thread.join()

    def _flush_in_time(self) -> None:
        while not self._over.is_set():
            self._more.wait()
            self._over.wait(FLUSH_SECONDS)
            self._more.clear()
            self.flush()

    def flush(self) -> None:
        """Report what has been summed up."""
        with self._lock:
            sums, self._sums = self._sums, {}
        for stage, (spent, count) in sums.items():
            self._report(stage, spent, count)


class BatchLog:
    """Appends the moments between the stages of each batch to a file.

    All instances share the file: a line is one short write at its end. ``""`` writes none.
    """

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(path, flags, 0o600) if path else None

    def add(self, moments: Sequence[int]) -> None:
        """The batch's beginning and the end of each of its stages, ns of the monotonic clock."""
        if self._file is not None:
            os.write(self._file, (" ".join(map(str, moments)) + "\n").encode())
