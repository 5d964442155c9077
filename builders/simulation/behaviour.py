"""What a user does with a list: position-based examination, then a click by taste, or by chance.

A user looks at position p with a chance that depends on p alone, and clicks what was looked at
with one that depends on the item alone (Richardson et al. 2007; Craswell et al. 2008).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from builders.simulation.plan import DAY, K, Plan


def draws(plan: Plan, number: int, user: int, request: int) -> NDArray[np.float64]:
    """Uniform random numbers [2, K] of one request: for looking, and for clicking.

    They depend on nothing that was shown, so that arms differ by what they show alone.
    """
    return np.random.default_rng([plan.seed, number, user, request]).random((2, K))


def clicks(
    shown: Sequence[str], likes: Collection[str], chance: NDArray[np.float64], plan: Plan
) -> list[str]:
    """The items that are clicked, in the order shown."""
    position = np.arange(1, len(shown) + 1)
    looked, wanted = chance[:, : len(shown)]
    liked = np.array([item in likes for item in shown], np.bool_)
    seen = looked < position**-plan.position_bias
    clicked = seen & (wanted < np.where(liked, 1 - plan.noise, plan.noise))
    return [shown[place] for place in np.flatnonzero(clicked)]


def moments(plan: Plan, number: int, user: int, start: int) -> list[int]:
    """Seconds since the epoch of a user's requests in a round: one in each equal part of it."""
    part = DAY // plan.requests
    # Neither the last seconds, so that the clicks of a request lie in its part, too.
    inside = np.random.default_rng([plan.seed, number, user]).integers(0, part - K, plan.requests)
    return [start + number * DAY + n * part + int(at) for n, at in enumerate(inside)]
