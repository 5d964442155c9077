"""Items without a history: how well what is known of them ranks them among each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from builders.dataset.dataset import Dataset
from builders.evaluation.cold_start_table import ColdRow, ColdStart
from builders.evaluation.metrics import ranks_of
from builders.ranker.interface import Ranker
from builders.ranker.scoring import candidate_scores, head_scores
from builders.ranker.tied import TiedRanker
from builders.retrieval.feature_step import FeatureStep
from builders.settings import Settings

_ROWS = 256
_RESAMPLES = 1000
_SEED = 0
_SHOWN = 10
_NAMES = {"image": "picture", "text": "text"}

ItemScorer = Callable[[NDArray[np.int32]], NDArray[np.float32]]
"""Scores of the K ranked items for histories int32 [B, H]: float32 [B, K]."""


@dataclass(frozen=True)
class ColdSubject:
    """What is measured.

    Attributes:
        parts: modality → its part of the item table, float [N+1, D], zero where nothing is known.
    """

    dataset: Dataset
    settings: Settings
    ranker: Ranker
    step: FeatureStep
    parts: Mapping[str, Tensor]


@dataclass(frozen=True)
class ColdQueries:
    """M events of held-out items, each a query among K of them; columns count from 1.

    Attributes:
        item: int32 [K] item numbers.
        user: int64 [M].
        end: int64 [M], where the user's history before the event ends.
        target: int32 [M], the column of the event's item.
        seen: int32 [M, S], columns that the user touched before the event, 0 for none.
    """

    item: NDArray[np.int32]
    user: NDArray[np.int64]
    end: NDArray[np.int64]
    target: NDArray[np.int32]
    seen: NDArray[np.int32]

    @classmethod
    def of(cls, dataset: Dataset, ranked: NDArray[np.bool_]) -> ColdQueries:
        """The first event of each user with each item of ``ranked``, bool [N+1]."""
        asked = np.flatnonzero(ranked[dataset.cold_item])
        user, item = dataset.cold_user[asked], dataset.cold_item[asked]
        _, first = np.unique(user << 32 | item, return_index=True)
        first = np.sort(first)
        user, end = user[first], dataset.cold_end[asked[first]]
        target = np.cumsum(ranked)[item[first]].astype(np.int32)
        begin = np.searchsorted(user, user)
        back = np.arange(len(user)) - begin
        place = np.arange(len(user))[:, None] - np.arange(1, back.max(initial=0) + 1)
        seen = np.where(place >= begin[:, None], target[np.maximum(place, 0)], 0)
        return cls(
            np.flatnonzero(ranked).astype(np.int32), user, end, target, seen.astype(np.int32)
        )

    def gains(self, scorer: ItemScorer, dataset: Dataset, history: int) -> NDArray[np.float64]:
        """NDCG@10 of each query: float64 [M]."""
        found = np.zeros(len(self.user))
        for start in range(0, len(self.user), _ROWS):
            rows = slice(start, start + _ROWS)
            score = scorer(dataset.before(self.user[rows], self.end[rows], history))
            padded = np.pad(score, ((0, 0), (1, 0)))
            ranks = ranks_of(padded, self.target[rows], self.seen[rows])
            found[rows] = np.where(ranks < _SHOWN, 1 / np.log2(ranks + 2), 0)
        return found

    def random_gains(self) -> NDArray[np.float64]:
        """What each query gets on average from a random order: float64 [M]."""
        left = len(self.item) - (self.seen > 0).sum(axis=1)
        gain = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(_SHOWN) + 2))])
        mean: NDArray[np.float64] = gain[np.minimum(left, _SHOWN)] / left
        return mean


def cold_start(subject: ColdSubject) -> ColdStart | None:
    """The table; None where no event of a held-out item can be asked for.

    Each event of a held-out item is a query by its user's history before it. Ranked are the
    held-out items that have all that is fused, without those that the user touched before.
    """
    dataset, length = subject.dataset, subject.settings.features.history
    ranked = dataset.cold.copy()
    for part in subject.parts.values():
        ranked &= part.any(dim=1).numpy()
    queries = ColdQueries.of(dataset, ranked)
    if not len(queries.user):
        return None
    gains = {"random, on average": queries.random_gains()}
    for method, scorer in _scorers(subject, queries):
        gains[method] = queries.gains(scorer, dataset, length)
    together = " + ".join(_NAMES[name] for name in subject.parts)
    difference = {}
    if len(subject.parts) > 1:
        difference = {f"{together} minus text": gains[together] - gains["text alone"]}
    rows = bootstrap({**gains, **difference}, queries.user)
    return ColdStart(
        items=len(queries.item),
        held_out=int(dataset.cold.sum()),
        queries=len(queries.user),
        users=len(np.unique(queries.user)),
        rows=tuple(rows[: len(gains)]),
        difference=rows[-1] if difference else None,
    )


def bootstrap(gains: Mapping[str, NDArray[np.float64]], user: NDArray[np.int64]) -> list[ColdRow]:
    """Mean of each method's gains [M], and its interval when users are drawn with replacement.

    All methods see the same draws, so a difference of two is a paired one.
    """
    _, of = np.unique(user, return_inverse=True)
    sums = np.stack([np.bincount(of, gain) for gain in gains.values()])
    count = np.bincount(of)
    rng = np.random.default_rng(_SEED)
    means = np.empty((_RESAMPLES, len(sums)))
    for row in means:
        times = np.bincount(rng.integers(0, len(count), len(count)), minlength=len(count))
        row[:] = sums @ times / (count @ times)
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return [
        ColdRow(method, float(gain.mean()), float(low[n]), float(high[n]))
        for n, (method, gain) in enumerate(gains.items())
    ]


def _scorers(subject: ColdSubject, queries: ColdQueries) -> Iterator[tuple[str, ItemScorer]]:
    dataset, ranker, item = subject.dataset, subject.ranker, queries.item
    yield "popularity of its categories", _constant(category_popularity(dataset)[item])
    hindsight = np.bincount(queries.target, minlength=len(item) + 1)[1:]
    yield "popularity with hindsight (a leak)", _constant(hindsight.astype(np.float32))
    if subject.parts:
        assert isinstance(ranker, TiedRanker), "only such a ranker is fused"
        for name, part in subject.parts.items():
            yield f"{_NAMES[name]} alone", _part_scorer(ranker, part, item)
        if len(subject.parts) > 1:
            together = torch.stack(list(subject.parts.values())).sum(dim=0)
            name = " + ".join(_NAMES[name] for name in subject.parts)
            yield name, _part_scorer(ranker, together, item)
    yield f"{subject.settings.ranker.kind}, whole", _whole_scorer(ranker, subject.step, item)


def category_popularity(dataset: Dataset) -> NDArray[np.float32]:
    """What a live system knows of a new item's popularity: float32 [N+1].

    The mean, over its categories, of the mean number of training events of their items; of all
    items where it has none.
    """
    count = np.bincount(dataset.item[dataset.train_mask()], minlength=dataset.items + 1)
    has = dataset.categories[count > 0].astype(np.float64)
    known = count[count > 0]
    by_category = known @ has / np.maximum(has.sum(axis=0), 1)
    mine = dataset.categories.sum(axis=1)
    mean = dataset.categories @ by_category / np.maximum(mine, 1)
    return np.where(mine > 0, mean, known.mean()).astype(np.float32)


def _constant(score: NDArray[np.float32]) -> ItemScorer:
    return lambda history: np.tile(score, (len(history), 1))


def _part_scorer(ranker: TiedRanker, part: Tensor, item: NDArray[np.int32]) -> ItemScorer:
    with torch.no_grad():
        vectors = ranker.scored(part[torch.from_numpy(item).long()])

    @torch.no_grad()
    def score(history: NDArray[np.int32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = (
            ranker.user_vector(torch.from_numpy(history)) @ vectors.T
        ).numpy()
        return found

    return score


def _whole_scorer(ranker: Ranker, step: FeatureStep, item: NDArray[np.int32]) -> ItemScorer:
    def score(history: NDArray[np.int32]) -> NDArray[np.float32]:
        candidate = np.tile(item, (len(history), 1))
        found = candidate_scores(ranker, history, candidate)
        if ranker.head is not None:
            found += head_scores(ranker.head, step.pack(history, candidate))
        return found

    return score
