"""The preprocessing step that Triton runs, for builders: the same files, over many pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ensembles.contracts import LIMITS
from ensembles.errors import BuildError, MissingExtra
from ensembles.step_code import load_step

_VERSION = Path(__file__).resolve().parents[2] / "model_repository" / "preprocess" / "1"
_BATCH = 32


class Preprocess(Protocol):
    """What builders use of ``preprocess_step.Preprocessor``."""

    @property
    def size(self) -> int:
        """Rows and columns of the pixels."""

    def pixels(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32] | Exception]:
        """Pixels [3, size, size] of each encoded picture, or what is wrong with it."""

    def close(self) -> None:
        """Let go of threads and memory."""


def write_preprocess(folder: Path, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
    """Write the serialised pipelines into ``folder``; ``mean`` and ``std`` in units of 0 to 255.

    Raises:
        MissingExtra: DALI is not installed.
    """
    _load(_VERSION).write_pipelines(folder, size, mean, std)


def open_preprocess(folder: Path, version: Path = _VERSION, *, threads: int = 1) -> Preprocess:
    """The step of ``version`` over a folder that ``write_preprocess`` wrote.

    Raises:
        BuildError: the folder is missing or damaged.
        MissingExtra: DALI is not installed.
        ReleaseError: ``version`` holds no step.
    """
    step = _load(version)
    limits = step.Limits(image_bytes=LIMITS.image_bytes, image_pixels=LIMITS.image_pixels)
    try:
        return cast("Preprocess", step.Preprocessor.open(folder, limits, threads=threads))
    except ValueError as e:
        raise BuildError(f"the preprocessing pipeline cannot be used: {e}") from e


def _load(version: Path) -> ModuleType:
    try:
        return load_step(version)
    except ImportError as e:
        raise MissingExtra("nvidia-dali-cuda120", "build") from e


def batches(
    preprocess: Preprocess, files: Sequence[Path | None], log: Callable[[str], None]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Item numbers int64 [B] and pixels float32 [B, 3, S, S] of readable pictures.

    Pictures that cannot be read are left out, and one line of ``log`` counts them.

    Args:
        preprocess: the step.
        files: a picture for each item number, None where there is none.
        log: takes a line of progress.
    """
    there = [(number, file) for number, file in enumerate(files) if file is not None]
    unreadable: list[str] = []
    for start in range(0, len(there), _BATCH):
        numbers, pixels = [], []
        part = there[start : start + _BATCH]
        for (number, file), row in zip(part, _read(preprocess, part), strict=True):
            if isinstance(row, Exception):
                unreadable.append(f"{file}: {row}")
            else:
                numbers.append(number)
                pixels.append(row)
        if numbers:
            yield np.array(numbers, np.int64), np.stack(pixels)
    if unreadable:
        log(f"{len(unreadable)} of {len(there)} pictures cannot be read; {unreadable[0]}")


def _read(
    preprocess: Preprocess, part: Sequence[tuple[int, Path]]
) -> list[NDArray[np.float32] | Exception]:
    """Pixels or the error of each file, in order."""
    contents: list[NDArray[np.uint8] | OSError] = []
    for _, file in part:
        try:
            contents.append(np.fromfile(file, np.uint8))
        except OSError as e:
            contents.append(e)
    found = iter(preprocess.pixels([c for c in contents if not isinstance(c, OSError)]))
    return [c if isinstance(c, OSError) else next(found) for c in contents]
