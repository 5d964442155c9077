"""How long requests spend in each stage, for whoever reads the server's metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable

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

    def add(self, stage: str, nanoseconds: int, requests: int) -> None:
        """A stage took ``nanoseconds`` for a batch of ``requests``."""
        with self._lock:
            if not self._sums:
                timer = threading.Timer(FLUSH_SECONDS, self.flush)
                timer.daemon = True
                timer.start()
            spent, count = self._sums.get(stage, (0, 0))
            self._sums[stage] = spent + nanoseconds * requests, count + requests

    def flush(self) -> None:
        """Report what has been summed up."""
        with self._lock:
            sums, self._sums = self._sums, {}
        for stage, (spent, count) in sums.items():
            self._report(stage, spent, count)
