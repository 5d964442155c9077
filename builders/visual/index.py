"""The index over visual vectors that the features step searches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembles.errors import BuildError

VECTORS, INDEX = "visual_vectors.npy", "visual.faiss"


def write_index(vectors: NDArray[np.float32], kind: str, folder: Path) -> int:
    """Write the vectors and a FAISS index by inner product over those that are not zero.

    Args:
        vectors: float32 [N+1, V], by item number.
        kind: as ``faiss.index_factory`` names it.

    Returns:
        How many items are in the index.

    Raises:
        BuildError: FAISS knows no such index, or has too few vectors to train it.
    """
    import faiss

    there = np.flatnonzero(vectors.any(axis=1))
    rows = np.ascontiguousarray(vectors[there])
    try:
        index = faiss.index_factory(vectors.shape[1], f"IDMap,{kind}", faiss.METRIC_INNER_PRODUCT)
        index.train(rows)
        index.add_with_ids(rows, there.astype(np.int64))
    except RuntimeError as e:
        raise BuildError(
            f"visual.index {kind!r} cannot be made of {len(rows)} vectors of length "
            f"{vectors.shape[1]}: {str(e).splitlines()[-1]}; 'Flat' always can"
        ) from e
    np.save(folder / VECTORS, vectors, allow_pickle=False)
    faiss.write_index(index, str(folder / INDEX))
    return len(there)
