"""Pixels of a catalogue's pictures, a batch at a time: as often as asked, never all in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.stages import Log
from builders.visual.pixels import Preprocess, batches

_SECONDS = 5.0
"""Between two lines of progress."""

Batch = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Item numbers [B] and pixels [B, 3, S, S]."""


@dataclass(frozen=True)
class Sample:
    """Some pictures.

    Attributes:
        preprocess: what turns them into pixels.
        files: a picture for each item number, None where there is none or it is left out.
        log: takes a line of progress.
    """

    preprocess: Preprocess
    files: Sequence[Path | None]
    log: Log

    def __len__(self) -> int:
        """Number of pictures, readable or not."""
        return sum(file is not None for file in self.files)

    def some(self, numbers: Iterable[int]) -> Sample:
        """Only those of some items; what cannot be read is not mentioned again."""
        chosen = set(numbers)
        files = [file if n in chosen else None for n, file in enumerate(self.files)]
        return Sample(self.preprocess, files, _silent)

    def pixels(self) -> Iterator[NDArray[np.float32]]:
        """Pixels alone."""
        for _, pixels in batches(self.preprocess, self.files, self.log):
            yield pixels

    def watched(
        self, title: str, log: Log, clock: Callable[[], float] = time.monotonic
    ) -> Iterator[Batch]:
        """With a line of progress every few seconds."""
        done, said = 0, clock()
        for numbers, pixels in batches(self.preprocess, self.files, self.log):
            yield numbers, pixels
            done += len(numbers)
            if clock() - said >= _SECONDS:
                said = clock()
                log(f"{title}: {done:,} of {len(self):,} pictures")


def _silent(line: str) -> None:
    del line
