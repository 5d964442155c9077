"""Augmentation of training sequences: crop, mask, reorder, substitute.

Crop, mask and reorder are those of CL4SRec (Xie et al., "Contrastive Learning for Sequential
Recommendation", ICDE 2022); substitution with a similar item is that of CoSeRec (Liu et al.,
"Contrastive Self-supervised Sequential Recommendation with Robust Augmentation", 2021).

CL4SRec replaces masked events with a special token. Here item 0 is padding and there is no such
token, so masking removes the event and the sequence moves up to the right.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from builders.settings import Augment

Batch = NDArray[np.int32]


def augment(
    batch: Batch,
    settings: Augment,
    rng: np.random.Generator,
    neighbours: NDArray[np.int32] | None = None,
) -> Batch:
    """A changed copy of a batch; each sequence draws each operation on its own.

    Args:
        batch: int32 [B, L] item numbers, padded left with 0.
        settings: probability per operation, and the share of a sequence that it touches. In a
            sequence of two events or more at least one is touched (reorder: two), and at least
            one is left; a shorter one is cropped, masked and reordered to itself.
        rng: the only source of chance.
        neighbours: int32 [N+1, K] similar items, then 0; substitution draws one of them evenly,
            so give few and close ones. Without them nothing is substituted.
    """
    out = batch.copy()
    operations = [(settings.crop, _crop), (settings.mask, _mask), (settings.reorder, _reorder)]
    if neighbours is not None:
        operations += [(settings.substitute, partial(_substitute, neighbours=neighbours))]
    for probability, operation in operations:
        chosen = np.flatnonzero(rng.random(len(out)) < probability)
        if chosen.size:
            out[chosen] = operation(out[chosen], settings.share, rng)
    return out


def _crop(batch: Batch, share: float, rng: np.random.Generator) -> Batch:
    """Keep a random run of events."""
    position, length = _positions(batch)
    dropped = _touched(length, share)
    start = _up_to(rng, dropped)
    kept = (position >= start) & (position < start + length - dropped)
    return _pack(batch, kept)


def _mask(batch: Batch, share: float, rng: np.random.Generator) -> Batch:
    """Remove random events."""
    return _pack(batch, (batch != 0) & ~_some(batch, share, rng))


def _reorder(batch: Batch, share: float, rng: np.random.Generator) -> Batch:
    """Shuffle a random run of events."""
    position, length = _positions(batch)
    run = np.minimum(np.maximum((length * share).astype(np.int64), 2), length)
    start = _up_to(rng, length - run)
    inside = (position >= start) & (position < start + run)
    # Keys inside the run stay between those of its neighbours, in random order.
    key = np.where(inside, start + run * rng.random(batch.shape), position)
    return np.take_along_axis(batch, np.argsort(key, axis=1, kind="stable"), axis=1)


def _substitute(
    batch: Batch, share: float, rng: np.random.Generator, neighbours: NDArray[np.int32]
) -> Batch:
    """Replace random events by similar items; an item without any stays."""
    some = _some(batch, share, rng, least_left=0)
    items = batch[some]
    known = (neighbours[items] != 0).sum(axis=1)
    similar = neighbours[items, _up_to(rng, np.maximum(known - 1, 0))]
    out = batch.copy()
    out[some] = np.where(known > 0, similar, items)
    return out


def _positions(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place of each event in its sequence [B, L] (padding below 0), and lengths [B, 1]."""
    length = (batch != 0).sum(axis=1, keepdims=True)
    width = batch.shape[1]
    return np.arange(width) - (width - length), length


def _touched(length: NDArray[np.int64], share: float, least_left: int = 1) -> NDArray[np.int64]:
    """How many events of each sequence an operation touches."""
    wanted = np.maximum((length * share).astype(np.int64), 1)
    return np.minimum(wanted, np.maximum(length - least_left, 0))


def _some(
    batch: Batch, share: float, rng: np.random.Generator, least_left: int = 1
) -> NDArray[np.bool_]:
    """bool [B, L]: random events, as many as an operation touches."""
    position, length = _positions(batch)
    key = np.where(position >= 0, rng.random(batch.shape), np.inf)
    rank = np.argsort(np.argsort(key, axis=1), axis=1)
    chosen: NDArray[np.bool_] = rank < _touched(length, share, least_left)
    return chosen


def _up_to(rng: np.random.Generator, most: NDArray[np.int64]) -> NDArray[np.int64]:
    """A random whole number from 0 to ``most``, both included, for each."""
    return rng.integers(0, most + 1)


def _pack(batch: Batch, kept: NDArray[np.bool_]) -> Batch:
    """Move the kept events to the right, in order, and pad on the left."""
    order = np.argsort(kept, axis=1, kind="stable")
    return np.take_along_axis(np.where(kept, batch, 0), order, axis=1)
