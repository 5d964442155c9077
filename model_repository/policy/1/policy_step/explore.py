"""Exploration: some slots show an item that little is known of, each with a known chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .draws import COINS, uniform
from .policy import EXPLORE, LOWEST, REAL, Chosen, choose, finite


@dataclass(frozen=True)
class Explored(Chosen):
    """What is shown, and with which chance.

    Attributes:
        propensity: float32 [B, K], the chance that a slot shows its item, given what the slots
            before it show and the normal candidates; 0 in unused slots.
        explored: bool [B, K], the slot was given away.
    """

    propensity: NDArray[np.float32]
    explored: NDArray[np.bool_]


def explore(
    logit: NDArray[np.float32],
    candidate: NDArray[np.int32],
    flags: NDArray[np.uint8],
    top_k: NDArray[np.int32],
    *,
    eligible: NDArray[np.int32],
    seed: NDArray[np.uint64],
    share: float,
) -> Explored:
    """As ``choose``, but each slot goes with the chance ``share`` to the next candidate to explore.

    Those bear the flag ``EXPLORE`` and stand together, in random order: the features step drew
    them, each of ``eligible`` items with the same chance. Normal candidates keep their order. A
    row without any to explore is answered as ``choose`` does.

    Args:
        logit, candidate, flags: [B, C].
        top_k: int32 [B].
        eligible: int32 [B].
        seed: uint64 [B], of the requests.
    """
    extra = flags & EXPLORE > 0
    normal = choose(logit, candidate, np.where(extra, 0, flags).astype(np.uint8), top_k)
    normals = ((flags & REAL > 0) & ~extra).sum(axis=1)[:, None]
    extras = extra.sum(axis=1)[:, None]
    slot = np.arange(normal.item.shape[1])
    coin = uniform(seed, COINS, len(slot)) < share
    explored, before, forced = _given_away(coin, slot, normals, extras)
    used = np.minimum(top_k, (normals + extras)[:, 0])
    free = slot >= used[:, None]
    chance = np.where(forced, 1.0, share) / np.maximum(eligible[:, None] - before, 1)
    rest = np.where(extras > before, 1 - share, 1.0)
    place = np.minimum(extra.argmax(axis=1)[:, None] + before, candidate.shape[1] - 1)

    def taken(new: NDArray[Any], old: NDArray[Any], nothing: object) -> NDArray[Any]:
        shown = np.take_along_axis(old, slot - before, axis=1)
        shown = np.where(explored, np.take_along_axis(new, place, axis=1), shown)
        return np.where(free, np.asarray(nothing, old.dtype), shown)

    return Explored(
        item=taken(candidate, normal.item, 0),
        score=taken(finite(logit, flags & REAL > 0), normal.score, LOWEST),
        used=used,
        propensity=np.where(free, 0, np.where(explored, chance, rest)).astype(np.float32),
        explored=explored & ~free,
    )


def _given_away(
    coin: NDArray[np.bool_],
    slot: NDArray[np.int64],
    normals: NDArray[np.int64],
    extras: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.bool_]]:
    """Which slots are given away, how many before each are, and where nothing else is left.

    All [B, K]; ``normals`` and ``extras`` are how many candidates there are of a kind, [B, 1].
    """
    tossed = coin & (np.cumsum(coin, axis=1) <= extras)
    forced = slot - (np.cumsum(tossed, axis=1) - tossed) >= normals
    wanted = tossed | forced
    explored = wanted & (np.cumsum(wanted, axis=1) <= extras)
    return explored, np.cumsum(explored, axis=1) - explored, forced
