"""The tables of the feature step: what retrieval and candidate features look things up in."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.dataset.features import item_statistics
from builders.retrieval.collaborative import (
    Factors,
    fit_factors,
    fit_neighbours,
    interactions,
)
from builders.settings import Settings
from ensembles.contracts import LIMITS

_POPULAR = 5000
_LARGEST_SEEN = 2 * LIMITS.recent
"""Events of a user that can be known at once: the stored ones and those of a request."""


def write_tables(
    dataset: Dataset, settings: Settings, mask: NDArray[np.bool_], folder: Path
) -> Factors:
    """Write the tables into ``folder``, from the events in ``mask`` and nothing else.

    Args:
        mask: bool [E], training events or a part of them.
        folder: created when missing.

    Returns:
        The ALS factors, for the ALS baseline; the tables keep the items' only, normalised.

    Raises:
        BuildError: ``mask`` chooses no event.
        DataError: ``mask`` chooses an event that is not for training.
    """
    folder.mkdir(parents=True, exist_ok=True)
    retrieval = settings.retrieval
    threads = settings.train.threads or os.cpu_count() or 1
    matrix = interactions(dataset, mask)
    statistics = item_statistics(dataset, settings.features, mask)
    factors = fit_factors(matrix, retrieval, seed=settings.train.seed, threads=threads)
    near = fit_neighbours(dataset, mask, retrieval)
    arrays: dict[str, NDArray[np.generic]] = {
        # However much of it a user has seen, enough is left to fill the candidates.
        "popular": statistics.popular[: max(_POPULAR, retrieval.candidates + _LARGEST_SEEN)],
        "popularity": statistics.popularity,
        "recency": statistics.recency,
        "neighbour_item": near.item,
        "neighbour_weight": near.weight,
        "factors": unit_rows(factors.item),
        "categories": unit_rows(dataset.categories.astype(np.float32)),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
    _write_json(folder / "lengths.json", _lengths(dataset, settings))
    _write_json(folder / "item_ids.json", dataset.item_ids)
    return factors


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1; rows of zeros stay."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.where(length > 0, length, 1)).astype(np.float32)
    return unit


def _lengths(dataset: Dataset, settings: Settings) -> dict[str, object]:
    candidates = settings.retrieval.candidates
    return {
        "history": settings.features.history,
        "candidates": candidates,
        "recent": min(settings.retrieval.recent, settings.features.history),
        "items": dataset.items,
        "candidate_buckets": [n for n in (1000, LIMITS.candidates) if n > candidates],
        "decay": settings.retrieval.decay,
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
