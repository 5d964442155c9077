"""What of the pictures goes into a release for people and load tests to look at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from serving.preview.catalogue import PICTURES

COVERS, SAMPLES = "covers", "samples"
_SAMPLES = 16


def write_shown(
    dataset: Dataset,
    pictures: Sequence[Path | None],
    vectors: NDArray[np.float32],
    folder: Path,
) -> None:
    """Write ``pictures.json`` and the samples into ``folder``, which may hold covers.

    ``pictures.json`` tells where the picture of an item id lies: relative to itself for a cover,
    absolute for a file of the user's. Samples are copies of up to 16 readable pictures of items
    from all over the catalogue, named by item number.

    Args:
        pictures: N+1 files by item number, None where there is none.
        vectors: float32 [N+1, V], zero where a picture could not be read.
    """
    where = {
        dataset.item_ids[item]: str(
            file.relative_to(folder) if file.is_relative_to(folder) else file.resolve()
        )
        for item, file in enumerate(pictures)
        if file is not None
    }
    (folder / PICTURES).write_text(json.dumps(where, ensure_ascii=False), encoding="utf-8")
    (folder / SAMPLES).mkdir()
    readable = np.flatnonzero(vectors.any(axis=1))
    chosen = readable[np.linspace(0, len(readable) - 1, _SAMPLES).astype(int)]
    for item in np.unique(chosen):
        file = pictures[item]
        assert file is not None, "an item with a vector has a picture"
        shutil.copy2(file, folder / SAMPLES / f"{item}{file.suffix}")
