"""Answers a batch of requests: what Triton calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .explore import Explored, explore
from .policy import Chosen, choose

Tensors = Mapping[str, NDArray[Any]]


def answer(
    requests: Sequence[Tensors], item_ids: NDArray[np.bytes_], share: float = 0.0
) -> list[dict[str, NDArray[Any]]]:
    """``item_id`` and ``score`` of each request, [rows, slots].

    Where ``share`` is above 0 the release explores, requests bring ``seed`` and ``eligible``, and
    answers have ``propensity`` and ``explored`` too.

    Requests whose candidates have the same width are stacked and answered together. A request
    has as many slots as its fullest row uses.
    """
    by_width: dict[int, list[int]] = {}
    for place, tensors in enumerate(requests):
        by_width.setdefault(tensors["candidate"].shape[1], []).append(place)
    answers: dict[int, dict[str, NDArray[Any]]] = {}
    for places in by_width.values():
        chosen = _choose([requests[p] for p in places], share)
        end = 0
        for place in places:
            start, end = end, end + len(requests[place]["candidate"])
            slots = int(chosen.used[start:end].max(initial=0))
            answers[place] = {
                "item_id": item_ids[chosen.item[start:end, :slots]].astype(np.object_),
                "score": np.ascontiguousarray(chosen.score[start:end, :slots]),
            }
            if isinstance(chosen, Explored):
                answers[place]["propensity"] = chosen.propensity[start:end, :slots]
                answers[place]["explored"] = chosen.explored[start:end, :slots]
    return [answers[place] for place in range(len(requests))]


def _choose(requests: Sequence[Tensors], share: float) -> Chosen:
    def stacked(name: str) -> NDArray[Any]:
        return np.concatenate([tensors[name] for tensors in requests])

    logit, candidate, flags, top_k = map(
        stacked, ("logit", "candidate", "candidate_flags", "top_k")
    )
    if not share:
        return choose(logit, candidate, flags, top_k[:, 0])
    eligible, seed = stacked("eligible")[:, 0], stacked("seed")[:, 0]
    return explore(
        *(logit, candidate, flags, top_k[:, 0]), eligible=eligible, seed=seed, share=share
    )
