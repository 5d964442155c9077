"""Collaborative filtering with implicit: item neighbours and ALS factors, from chosen events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import ItemItemRecommender
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
    if not mask.any():
        raise BuildError("collaborative filtering needs at least one training event; got none")
    user = np.repeat(np.arange(dataset.users), np.diff(dataset.offsets))[mask]
    shape = (dataset.users, dataset.items + 1)
    cells = (dataset.weight[mask].astype(np.float32), (user, dataset.item[mask]))
    return sp.csr_matrix(cells, shape=shape)


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


def fit_neighbours(matrix: sp.csr_matrix, settings: Retrieval, *, threads: int) -> Neighbours:
    """Asymmetric cosine over users, damped for users with long lists.

    The weight of c as a neighbour of j is ``sum_u d_u / (n_j^a n_c^(1-a))`` over users u that
    have both, with ``d_u`` as ``user_damping`` says (asymmetric cosine: Aiolli 2013).
    """
    seen = sp.csr_matrix(
        (np.ones(matrix.nnz, dtype=np.float64), matrix.indices, matrix.indptr), matrix.shape
    )
    length = np.maximum(np.diff(seen.indptr), 1)
    count = np.maximum(np.bincount(seen.indices, minlength=seen.shape[1]), 1)
    # implicit multiplies the matrix with its transpose, which can only be symmetric in j and c.
    # Weights by c alone keep each row's order; what is missing by j is a factor of the row.
    to, by_row = count ** (settings.asymmetry - 1.0), count ** (1.0 - 2.0 * settings.asymmetry)
    weighted = sp.diags_array(length ** (-settings.user_damping / 2)) @ seen @ sp.diags_array(to)
    model = ItemItemRecommender(K=settings.neighbours + 1, num_threads=threads)
    model.fit(sp.csr_matrix(weighted), show_progress=False)
    near = sp.csr_matrix(sp.diags_array(by_row) @ model.similarity)
    near.setdiag(0)
    return _as_table(near, settings.neighbours)


def _as_table(near: sp.csr_matrix, width: int) -> Neighbours:
    near.eliminate_zeros()
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
