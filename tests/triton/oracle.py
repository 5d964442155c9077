"""The rules of the chain once more, in plain Python, a user at a time: what tests compare with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tests.triton.tiny import FEATURE_WEIGHTS, KNOBS, Tiny


def event_weight(tables: Any, age: int) -> float:
    """Weight of the event that ``age`` newer ones follow."""
    return float(tables.decay**age)


def newest(tables: Any, history: Sequence[int]) -> list[tuple[int, float]]:
    """The newest R events and their weights."""
    aged = enumerate(list(history)[::-1][: tables.recent])
    return [(item, event_weight(tables, age)) for age, item in aged if item]


def neighbours(tables: Any, history: Sequence[int]) -> dict[int, float]:
    """Summed neighbour weights by item."""
    sums: dict[int, float] = {}
    for event, weight in newest(tables, history):
        pairs = zip(tables.neighbour_item[event], tables.neighbour_weight[event], strict=True)
        for item, near in pairs:
            if item:
                sums[int(item)] = sums.get(int(item), 0.0) + weight * float(near)
    return sums


def retrieve(tables: Any, history: Sequence[int], seen: Iterable[int], count: int) -> list[int]:
    """Candidates in order, padded with 0."""
    gone = set(seen)
    sums = neighbours(tables, history)
    near = sorted((-score, item) for item, score in sums.items() if item not in gone)
    chosen = [item for _, item in near]
    chosen += [int(i) for i in tables.popular if int(i) not in gone and int(i) not in sums]
    return (chosen + [0] * count)[:count]


def features(tables: Any, history: Sequence[int], item: int) -> list[float]:
    """The packed features of one candidate."""
    if item == 0:
        return [0.0] * len(FEATURE_WEIGHTS)
    events = newest(tables, history)
    total = sum(weight for _, weight in events) or 1.0

    def match(table: Any) -> float:
        mean = sum((table[e].astype(float) * w / total for e, w in events), 0.0 * table[0])
        return float(table[item].astype(float) @ mean)

    sums = neighbours(tables, history)
    share = sums.get(item, 0.0) / max(sums.values(), default=1.0)
    return [
        math.log1p(share / 1e-3) / math.log1p(1 / 1e-3),
        match(tables.factors),
        float(tables.popularity[item]),
        float(tables.recency[item]),
        match(tables.categories),
        0.0,
        0.0,
    ]


def matching(tables: Any, query: Any, item: int) -> float:
    """How much an item looks like a picture; 0 without one."""
    return 0.0 if query is None else float(tables.visual.vectors[item].astype(float) @ query)


def with_similar(
    tables: Any, query: Any, seen: Iterable[int], retrieved: Sequence[int]
) -> list[int]:
    """Retrieved candidates, after the unseen ones of the items that look like the picture."""
    count, gone = KNOBS.visual_candidates, set(seen)
    pictured = [int(i) for i in np.flatnonzero(tables.visual.vectors.any(axis=1))]
    by_match = sorted(pictured, key=lambda item: -matching(tables, query, item))
    near = [item for item in by_match[: 2 * count] if item not in gone][:count]
    return (near + [item for item in retrieved if item not in near])[: tables.candidates]


def choose(scores: dict[int, float], seen: Iterable[int], k: int) -> list[tuple[int, float]]:
    """The k best (item, score): unseen first, then by score, then by number."""
    gone = set(seen)
    order = sorted(scores, key=lambda item: (item in gone, -scores[item], item))
    return [(item, scores[item]) for item in order[:k]]


def recommend(
    tiny: Tiny,
    tables: Any,
    user: str,
    k: int,
    candidates: Sequence[str] = (),
    recent: Sequence[str] = (),
    query: Any = None,
) -> tuple[list[str], list[float]]:
    """What the tiny release answers; ``query`` is the vector of the request's picture."""
    number = {item_id: n for n, item_id in enumerate(tiny.item_ids) if n}
    events = tiny.users.get(user, []) + [number[i] for i in recent if i in number]
    history = ([0] * tables.history + events)[-tables.history :]
    own = [number[i] for i in dict.fromkeys(candidates) if i in number]
    ranked = own or [i for i in retrieve(tables, history, events, tables.candidates) if i]
    weight = 0.0
    if query is not None:
        weight = KNOBS.visual_weight if any(history) else 1.0
        ranked = ranked if own else with_similar(tables, query, events, ranked)
    user_vector = tiny.vectors[history[-1]].astype(float)
    weights = FEATURE_WEIGHTS.astype(float)
    scores = {
        item: float(user_vector @ tiny.vectors[item].astype(float))
        + float(weights @ np.array(features(tables, history, item)))
        + (weights[5] * weight * matching(tables, query, item) + weights[6] * weight)
        for item in ranked
    }
    best = choose(scores, events, k)
    return [tiny.item_ids[item] for item, _ in best], [score for _, score in best]
