"""Items held out of training with all of their events, as if they had just been listed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SEED = 0


@dataclass(frozen=True)
class HeldOut:
    """What is held out of E events; the fields but ``kept`` are those of ``Dataset``.

    Attributes:
        kept: bool [E], True for the events that stay in the sequences.
    """

    cold: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    cold_user: NDArray[np.int64]
    cold_item: NDArray[np.int32]
    cold_end: NDArray[np.int64]


def hold_out(share: float, items: int, user: NDArray[np.int64], item: NDArray[np.int32]) -> HeldOut:
    """Draw items among those with events; the draw depends on these items and ``share`` only.

    Args:
        share: of the items with events.
        items: N.
        user: int64 [E], ascending; a user's events are sorted by time.
        item: int32 [E] item numbers.
    """
    active = np.unique(item)
    count = round(share * len(active))
    drawn = np.random.default_rng(_SEED).permutation(active)[:count]
    cold = np.zeros(items + 1, np.bool_)
    cold[drawn] = True
    kept = ~cold[item]
    # Kept events before each event: of all users, and of the users before its own.
    before: NDArray[np.int64] = np.cumsum(kept) - kept
    own: NDArray[np.int64] = before - before[np.searchsorted(user, user)]
    target = np.flatnonzero(~kept & (own > 0))
    return HeldOut(cold, kept, user[target], item[target], before[target])
