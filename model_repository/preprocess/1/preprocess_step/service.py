"""Answers a batch of requests: what Triton calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .header import BadImage
from .limits import Limits
from .preprocessor import Pixels, Preprocessor

Tensors = Mapping[str, NDArray[Any]]

COUNTED = {"bad_images": "Requests with a picture that cannot be used"}
"""Counters of the step, and what they count."""


class PreprocessService:
    """The pipeline of one release."""

    def __init__(self, preprocessor: Preprocessor) -> None:
        self.preprocessor = preprocessor

    @classmethod
    def open(
        cls, version: Path, parameters: Mapping[str, str], device: int | None
    ) -> PreprocessService:
        """``version`` is the version folder in a repository; ``device`` as Triton names a GPU.

        Raises:
            ValueError: pipeline or parameters are missing or damaged.
        """
        limits = Limits.parse(parameters)
        return cls(Preprocessor.open(version / "pipeline", limits, device=device))

    @staticmethod
    def count(answers: Sequence[NDArray[np.float32] | Exception]) -> tuple[int, ...]:
        """What a batch adds to each of ``COUNTED``."""
        return (sum(isinstance(a, Exception) for a in answers),)

    def answer(self, requests: Sequence[Tensors]) -> list[NDArray[np.float32] | BadImage]:
        """``pixels`` [rows, 3, size, size] of each request, or what is wrong with it."""
        rows = [list(tensors.get("image", ())) for tensors in requests]
        found = iter(self.preprocessor.pixels([row for request in rows for row in request]))
        return [_answer([next(found) for _ in request]) for request in rows]


def _answer(outcomes: Sequence[Pixels | BadImage]) -> NDArray[np.float32] | BadImage:
    """Rows of one request, stacked, or the first error."""
    if not outcomes:
        return BadImage(
            "image: expected one encoded JPEG, PNG or WebP a row, but the request has no such input"
        )
    good: list[Pixels] = []
    for row, outcome in enumerate(outcomes, 1):
        if isinstance(outcome, BadImage):
            where = f"row {row} of {len(outcomes)}: " if len(outcomes) > 1 else ""
            return BadImage(f"image: {where}{outcome}")
        good.append(outcome)
    return np.stack(good) if len(good) > 1 else good[0][np.newaxis]
