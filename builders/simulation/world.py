"""The world of a simulation: what the first release may know, and what each user would like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.simulation.plan import Plan
from ensembles.errors import DataError

_POPULAR = 0.1
"""Share of the items that count as popular."""


@dataclass(frozen=True)
class World:
    """U simulated users, N items that a release may show.

    Attributes:
        item_ids: N external ids.
        popular: bool [N], the tenth of the items with the most known events.
        likes: external ids of what each user would like and has not done yet, by user.
        start: second after the last known event; simulated time begins there.
    """

    item_ids: list[str]
    popular: NDArray[np.bool_]
    likes: Mapping[str, frozenset[str]]
    start: int

    @classmethod
    def of(cls, log: Dataset, known: NDArray[np.bool_], plan: Plan, *, listed: bool) -> World:
        """Draw users that would like something which a release may show.

        Args:
            known: bool [E], as ``cut`` gives it.
            listed: items without a known event are in the releases, too.

        Raises:
            DataError: there are fewer than two such users.
        """
        owner = np.repeat(np.arange(log.users), np.diff(log.offsets))
        events = np.bincount(log.item[known], minlength=len(log.item_ids))
        shown = (events > 0) | listed
        shown[0] = False  # padding
        mine = owner * len(log.item_ids) + log.item
        later = ~known & shown[log.item] & ~np.isin(mine, mine[known])
        found = np.unique(owner[later])
        if len(found) < 2:
            raise DataError(
                f"{len(found)} users have events that were held out, of items which a release "
                "may show; at least 2 are needed: choose another --known or --cut, or a larger log"
            )
        rng = np.random.default_rng(plan.seed)
        drawn = np.sort(rng.permutation(found)[: plan.users])
        likes = {
            log.user_ids[user]: frozenset(
                log.item_ids[i] for i in log.item[later & (owner == user)]
            )
            for user in drawn
        }
        items = np.flatnonzero(shown)
        popular = np.zeros(len(items), np.bool_)
        order = np.argsort(-events[items], kind="stable")
        popular[order[: max(round(_POPULAR * len(items)), 1)]] = True
        names = [log.item_ids[item] for item in items]
        return cls(names, popular, likes, int(log.timestamp[known].max()) + 1)


def cut(log: Dataset, plan: Plan) -> NDArray[np.bool_]:
    """Which events the first release may learn from: bool [E].

    Raises:
        DataError: all of them, or none.
    """
    if plan.cut == "time":
        known = log.timestamp <= np.quantile(log.timestamp, plan.known)
    else:
        lengths = np.diff(log.offsets)
        place = np.arange(len(log.item)) - np.repeat(log.offsets[:-1], lengths)
        known = place < np.repeat(np.ceil(plan.known * lengths), lengths)
    if known.all() or not known.any():
        raise DataError(
            f"--cut {plan.cut} --known {plan.known:g} leaves {int(known.sum()):,} of "
            f"{len(known):,} events known; some have to be and some not"
        )
    return np.asarray(known, np.bool_)
