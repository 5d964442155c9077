"""Settings of exploration, and the tables that a release explores by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from builders.dataset.dataset import Dataset
from builders.section import Section

POOL_FILE, PLAN_FILE = "explore.npy", "explore.json"
"""As ``features_step.explore`` reads them."""


class Explore(Section):
    """A few slots of the answers for items that little is known of."""

    share: float = Field(0.0, ge=0, le=0.5)
    """Chance that a slot is given away (0: off). Needs serving.fuse_steps and record.impressions,
    which logs the chance with which each item was shown. Only requests with an id explore, and of
    those only the ones that bring neither candidates nor a picture."""
    pool: int = Field(200, ge=1)
    """So many items are explored: those with the fewest training events. Items without any are
    known to a release with data.catalogue_items only; then they come first."""
    candidates: int = Field(8, ge=1)
    """Places among a request's candidates that are kept for them."""

    def lack(self, candidates: int, impressions: float, *, fuse_steps: bool) -> str:
        """What other settings lack for it, as a sentence; "" where nothing is lacking."""
        if not self.share:
            return ""
        if not fuse_steps:
            return "explore.share needs the joined steps; set serving.fuse_steps = true"
        if not impressions:
            return (
                "explore.share without a log of what was shown teaches nothing; set "
                "record.impressions above 0, the share of the requests whose answers are logged"
            )
        if self.candidates > candidates // 2:
            return (
                f"explore.candidates is at most half of retrieval.candidates, {candidates // 2}; "
                f"got {self.candidates}"
            )
        return ""

    def write(self, dataset: Dataset, folder: Path) -> None:
        """Write the tables; none where nothing is explored."""
        if not self.share:
            return
        pool = least_known(dataset, self.pool)
        plan = {"share": self.share, "candidates": min(self.candidates, len(pool))}
        np.save(folder / POOL_FILE, pool, allow_pickle=False)
        (folder / PLAN_FILE).write_text(json.dumps(plan), encoding="utf-8")


def least_known(dataset: Dataset, count: int) -> NDArray[np.int32]:
    """Items with the fewest training events, fewest first, ties by number; int32 [count] at most.

    Items of the catalogue that no event names are among them (``data.catalogue_items``); those
    that came after the build are not, for the release does not know them.
    """
    events = np.bincount(dataset.item[dataset.train_mask()], minlength=dataset.items + 1)[1:]
    order = np.argsort(events, kind="stable")[:count]
    return (order + 1).astype(np.int32)
