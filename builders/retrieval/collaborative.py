"""Collaborative filtering from chosen events: ALS factors (implicit) and item neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from builders.dataset.dataset import Dataset
from builders.settings import Retrieval
from ensembles.errors import BuildError


@dataclass(frozen=True)
class Factors:
    """ALS factors: ``user`` float32 [U, D]; ``item`` float32 [N+1, D], row 0 zero."""

    user: NDArray[np.float32]
    item: NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """``item`` int32 [N+1, K], nearest first, 0 for none; ``weight`` float32 [N+1, K]."""

    item: NDArray[np.int32]
    weight: NDArray[np.float32]


def interactions(dataset: Dataset, mask: NDArray[np.bool_]) -> sp.csr_matrix:
    """Summed weights of the chosen events: float32 CSR [U, N+1].

    Raises:
        BuildError: ``mask`` chooses no event.
    """
    cells = (dataset.weight[mask].astype(np.float32), _chosen(dataset, mask))
    return sp.csr_matrix(cells, shape=(dataset.users, dataset.items + 1))


def _chosen(
    dataset: Dataset, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Users and items of the chosen events, by user, then by time."""
    if not mask.any():
        raise BuildError("collaborative filtering needs at least one training event; got none")
    user = np.repeat(np.arange(dataset.users), np.diff(dataset.offsets))
    return user[mask], dataset.item[mask]


def fit_factors(matrix: sp.csr_matrix, settings: Retrieval, *, seed: int, threads: int) -> Factors:
    """Alternating least squares on implicit feedback (Hu, Koren, Volinsky 2008)."""
    # One BLAS thread: implicit brings its own threads, and sums keep their order.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularization,
            alpha=settings.alpha,
            iterations=settings.iterations,
            num_threads=threads,
            random_state=seed,
            use_gpu=False,
        )
        model.fit(matrix, show_progress=False)
    item = np.array(model.item_factors, dtype=np.float32)
    item[0] = 0
    return Factors(np.array(model.user_factors, dtype=np.float32), item)


def fit_neighbours(dataset: Dataset, mask: NDArray[np.bool_], settings: Retrieval) -> Neighbours:
    """Item neighbours from pairs of events, in order and by distance.

    The weight of c as a neighbour of j sums over users' pairs of events (j, c) at most
    ``window`` apart. Near pairs count more than distant ones, c after j more than c before j:
    on sequences that finds far more of what comes next than co-occurrence does, which is what
    libraries offer. Shrinkage and the asymmetric cosine (Aiolli 2013) then keep chance and
    popularity down; see ``settings.Retrieval``.

    Raises:
        BuildError: ``mask`` chooses no event.
    """
    user, item = _chosen(dataset, mask)
    count = np.maximum(np.bincount(item, minlength=dataset.items + 1), 1)
    weight = np.bincount(user)[user] ** -settings.user_damping
    shape = (dataset.items + 1, dataset.items + 1)
    after = sp.csr_matrix(shape, dtype=np.float64)
    for gap in range(1, min(settings.window, len(item) - 1) + 1):
        same = np.flatnonzero(user[gap:] == user[:-gap])
        pair = (weight[same] * gap**-settings.gap_power, (item[same], item[same + gap]))
        after += sp.csr_matrix(pair, shape=shape)
    near = sp.csr_matrix(after + settings.backward * after.T)
    near.setdiag(0)
    near.eliminate_zeros()
    near.data *= near.data / (near.data + settings.shrinkage)
    by_row, by_column = count**-settings.asymmetry, count ** (settings.asymmetry - 1)
    scaled = sp.csr_matrix(sp.diags_array(by_row) @ near @ sp.diags_array(by_column))
    return _as_table(scaled, settings.neighbours)


def _as_table(near: sp.csr_matrix, width: int) -> Neighbours:
    rows = np.repeat(np.arange(near.shape[0]), np.diff(near.indptr))
    # By row, then weight downwards, then item number: a fixed order also among equals.
    order = np.lexsort((near.indices, -near.data, rows))
    rank = np.arange(near.nnz) - near.indptr[rows]
    keep = rank < width
    item = np.zeros((near.shape[0], width), dtype=np.int32)
    weight = np.zeros((near.shape[0], width), dtype=np.float32)
    item[rows[keep], rank[keep]] = near.indices[order][keep]
    weight[rows[keep], rank[keep]] = near.data[order][keep]
    return Neighbours(item, weight)
