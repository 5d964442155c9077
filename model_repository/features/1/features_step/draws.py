"""Numbers that look random and belong to a request: counted out from its id, without a state.

The same request gets the same numbers again: by a retry, in another process, on another server.
SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) is
one expression for all rows of a batch, and does not change with the version of numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

POOL, COINS = 0, 1 << 32
"""Where the numbers begin that choose among items, and those that give slots away."""

_STEP = np.uint64(0x9E3779B97F4A7C15)


def seeds_of(request_id: str, rows: int) -> NDArray[np.uint64]:
    """A seed for each row of a request, uint64 [rows]; zeros where the request has no id."""
    if not request_id:
        return np.zeros(rows, np.uint64)
    start = np.frombuffer(blake2b(request_id.encode(), digest_size=8).digest(), "<u8")
    return _mixed(start + np.arange(1, rows + 1, dtype=np.uint64) * _STEP)


def with_seeds(tensors: Mapping[str, NDArray[Any]], request_id: str) -> dict[str, NDArray[Any]]:
    """A request's tensors and its ``seed``, uint64 [rows, 1]."""
    rows = max((len(tensor) for tensor in tensors.values()), default=0)
    return {**tensors, "seed": seeds_of(request_id, rows)[:, None]}


def uniform(seeds: NDArray[np.uint64], start: int, count: int) -> NDArray[np.float64]:
    """``count`` numbers from 0 to below 1 for each seed, from the ``start``th on: [B, count]."""
    place = np.arange(start + 1, start + count + 1, dtype=np.uint64) * _STEP
    return (_mixed(seeds[:, None] + place) >> np.uint64(11)) * 2.0**-53


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser; products wrap at 2^64, which is meant."""
    numbers = (numbers ^ numbers >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ numbers >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return numbers ^ numbers >> np.uint64(31)
