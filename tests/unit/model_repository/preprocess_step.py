"""The preprocess step as tests use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE

STEP: Any = load_step(SOURCE / "preprocess" / "1")
SIZE = 32
MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
LIMITS = STEP.Limits(image_bytes=1_000_000, image_pixels=1_000_000)


def open_in(folder: Path, limits: Any = LIMITS, **options: Any) -> Any:
    """A preprocessor over pipelines that are written into ``folder``."""
    STEP.write_pipelines(folder, SIZE, MEAN, STD)
    return STEP.Preprocessor.open(folder, limits, **options)


def encoded(*files: bytes) -> list[NDArray[np.uint8]]:
    """Files as the step takes them."""
    return [np.frombuffer(file, np.uint8) for file in files]


def colours(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised pixels [3, rows, columns] as colours of 0 to 255, [rows, columns, 3]."""
    return np.asarray(pixels.transpose(1, 2, 0) * STD + MEAN, np.float32)


def crop(rows: int, columns: int) -> Sequence[slice]:
    """The middle square of SIZE."""
    top, left = (rows - SIZE) // 2, (columns - SIZE) // 2
    return slice(top, top + SIZE), slice(left, left + SIZE)
