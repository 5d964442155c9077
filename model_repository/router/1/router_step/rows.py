"""A request's rows, parted by who answers them, and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]


def split(tensors: Tensors, releases: NDArray[np.int32]) -> dict[int, Tensors]:
    """The tensors of each release's rows, in order."""
    asked = dict.fromkeys(releases.tolist())
    if len(asked) == 1:
        return dict.fromkeys(asked, tensors)
    return {r: {n: t[releases == r] for n, t in tensors.items()} for r in asked}


def merged(
    releases: NDArray[np.int32], answers: Mapping[int, Tensors], outputs: Sequence[str]
) -> Tensors:
    """One answer of all rows; shorter rows are filled up with empty ids and zeros.

    What a release does not say, because it is older, is left out.
    """
    whole: Tensors = {"release": releases[:, None]}
    for name in (n for n in outputs if all(n in answer for answer in answers.values())):
        parts = {release: answer[name] for release, answer in answers.items()}
        if len(parts) == 1:
            whole[name] = next(iter(parts.values()))
            continue
        first = next(iter(parts.values()))
        width = max(part.shape[1] for part in parts.values())
        empty = b"" if first.dtype == object else 0
        whole[name] = np.full((len(releases), width), empty, first.dtype)
        for release, part in parts.items():
            whole[name][np.flatnonzero(releases == release), : part.shape[1]] = part
    return whole
