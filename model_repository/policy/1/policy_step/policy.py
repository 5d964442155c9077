"""The rule: real unseen candidates by score, seen ones only to fill up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REAL, SEEN, EXPLORE = 1, 2, 4
"""Bits of ``candidate_flags``."""

LOWEST = np.finfo(np.float32).min
"""Score of an unused slot."""

_ITEM_BITS = 30


@dataclass(frozen=True)
class Chosen:
    """The best candidates of B rows in K slots; row b uses the first ``used[b]``.

    Attributes:
        item: int32 [B, K] item numbers, 0 in unused slots.
        score: float32 [B, K], ``LOWEST`` in unused slots.
        used: int64 [B].
    """

    item: NDArray[np.int32]
    score: NDArray[np.float32]
    used: NDArray[np.int64]


def choose(
    logit: NDArray[np.float32],
    candidate: NDArray[np.int32],
    flags: NDArray[np.uint8],
    top_k: NDArray[np.int32],
) -> Chosen:
    """Best ``top_k`` candidates of each row; K is the largest ``top_k``, at most C.

    Unseen before seen, then the higher score, then the lower item number: the order depends on
    nothing else. A score that is no number counts as ``LOWEST``, an infinite one as the largest.

    Args:
        logit, candidate, flags: [B, C].
        top_k: int32 [B], at least 1.
    """
    real = flags & REAL > 0
    tier = np.where(real, flags & SEEN > 0, 2).astype(np.uint64)
    score = finite(logit, real)
    # Tier, score and item number packed in 64 bits: one plain sort gives the order.
    key = tier << 62 | _descending(score) << _ITEM_BITS | candidate.astype(np.uint64)
    slots = int(min(top_k.max(initial=1), candidate.shape[1]))
    order = np.argsort(key, axis=1)[:, :slots]  # equal keys are of the same item, or of no item
    used = np.minimum(top_k, real.sum(axis=1))
    free = np.arange(slots) >= used[:, None]
    return Chosen(
        item=np.where(free, 0, np.take_along_axis(candidate, order, axis=1)),
        score=np.where(free, LOWEST, np.take_along_axis(score, order, axis=1)),
        used=used,
    )


def finite(logit: NDArray[np.float32], real: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scores that are finite, ``LOWEST`` where a candidate is not ``real``; -0 becomes 0."""
    score = np.where(real & ~np.isnan(logit), logit, LOWEST)
    # Without the layers of Python that np.clip has.
    bounded: NDArray[np.float32] = np.maximum(np.minimum(score, -LOWEST), LOWEST) + np.float32(0)
    return bounded


def _descending(score: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Integers 0 to 2^32 - 1 that sort as ``-score`` does; IEEE 754 bits, sign folded."""
    bits = score.view(np.uint32)
    descending = np.where(bits >> 31, bits, bits ^ 0x7FFFFFFF)
    return descending.astype(np.uint64)
