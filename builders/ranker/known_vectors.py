"""What is known of items before anybody has touched them, as vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from builders.dataset.dataset import Dataset
from builders.ranker.text import project, text_vectors
from builders.retrieval.tables import unit_rows
from builders.settings import Settings
from ensembles.errors import BuildError


def known_vectors(dataset: Dataset, settings: Settings, pictures: Path | None) -> dict[str, Tensor]:
    """Vectors of the modalities that ``ranker.fuse`` names: float [N+1, V], unit or zero rows.

    They are principal components, V is ``ranker.fuse_width``.

    Args:
        pictures: ``.npy`` file with the items' visual vectors, float32 [N+1, V].

    Raises:
        BuildError: the visual vectors cannot be read, or are not those of ``dataset``.
        DataError: texts are to be fused, and no item has one.
        MissingExtra: texts are to be fused, and the extra ``text`` is not installed.
    """
    found: dict[str, Tensor] = {}
    for name in settings.ranker.fuse:
        if name == "text":
            rows = text_vectors(dataset)
        else:
            assert pictures is not None, "settings that fuse pictures have some"
            rows = read_visual_vectors(pictures, dataset.items)
        found[name] = torch.from_numpy(unit_rows(project(rows, settings.ranker.fuse_width)))
    return found


def read_visual_vectors(file: Path, items: int) -> NDArray[np.float32]:
    """The items' visual vectors: float32 [N+1, V], zero rows where there is no picture.

    Raises:
        BuildError: the file is missing or damaged, or has other rows.
    """
    try:
        rows: NDArray[np.float32] = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as e:
        raise BuildError(f"{file} cannot be read ({e}); build it again") from e
    fits = rows.dtype == np.float32 and rows.ndim == 2 and len(rows) == items + 1
    if not fits or rows[0].any() or not np.isfinite(rows).all():
        raise BuildError(
            f"{file}: expected finite float32 [{items + 1}, V] with zeros in row 0, found "
            f"{rows.dtype} {list(rows.shape)}; build it again"
        )
    return rows
