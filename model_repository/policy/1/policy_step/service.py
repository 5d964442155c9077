"""Answers a batch of requests: what Triton calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .policy import choose

Tensors = Mapping[str, NDArray[Any]]


def answer(
    requests: Sequence[Tensors], item_ids: NDArray[np.bytes_]
) -> list[dict[str, NDArray[Any]]]:
    """``item_id`` and ``score`` of each request, [rows, slots].

    Requests whose candidates have the same width are stacked and answered together. A request
    has as many slots as its fullest row uses.
    """
    by_width: dict[int, list[int]] = {}
    for place, tensors in enumerate(requests):
        by_width.setdefault(tensors["candidate"].shape[1], []).append(place)
    answers: dict[int, dict[str, NDArray[Any]]] = {}
    for places in by_width.values():
        logit, candidate, flags, top_k = (
            np.concatenate([requests[p][name] for p in places])
            for name in ("logit", "candidate", "candidate_flags", "top_k")
        )
        chosen = choose(logit, candidate, flags, top_k[:, 0])
        end = 0
        for place in places:
            start, end = end, end + len(requests[place]["candidate"])
            slots = int(chosen.used[start:end].max(initial=0))
            answers[place] = {
                "item_id": item_ids[chosen.item[start:end, :slots]].astype(np.object_),
                "score": np.ascontiguousarray(chosen.score[start:end, :slots]),
            }
    return [answers[place] for place in range(len(requests))]
