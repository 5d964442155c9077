"""Which floating point precision training runs in."""

from __future__ import annotations

import copy
import time
from typing import Literal

import torch

from builders.ranker.batches import Batch
from builders.ranker.interface import Ranker
from builders.ranker.losses import full_softmax
from builders.settings import Train

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

_GAIN = 0.9
"""Mixed precision is taken when a step takes less than this share of the time."""


def choose_precision(ranker: Ranker, batch: Batch, settings: Train) -> Precision:
    """The setting, or for ``auto`` the faster of float32 and bfloat16, measured on a batch.

    With a GPU ``auto`` is bfloat16 without a trial.
    """
    if settings.precision != "auto":
        return settings.precision
    if torch.cuda.is_available():
        return "bf16-mixed"
    tried = copy.deepcopy(ranker)
    seconds = {low: _step_seconds(tried, batch, low=low) for low in (False, True)}
    return "bf16-mixed" if seconds[True] < _GAIN * seconds[False] else "32-true"


def _step_seconds(ranker: Ranker, batch: Batch, *, low: bool) -> float:
    history, target = batch.history, batch.target
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            state = ranker.encode(history)[target > 0]
            loss = full_softmax(
                state, ranker.item_vectors(), target[target > 0], temperature=1, label_smoothing=0
            )
        loss.backward()  # type: ignore[no-untyped-call]
        best = min(best, time.perf_counter() - started)
    return best
