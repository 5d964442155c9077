"""When each batch went from stage to stage, for a load test."""

from __future__ import annotations

import os
from collections.abc import Sequence


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
