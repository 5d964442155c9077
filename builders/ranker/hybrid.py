"""The hybrid: a small head over candidate features, fitted beside a finished sequence model.

The head has 112 weights and is fitted on validation events. On training events it would learn
that it is not needed: the sequence model was trained on them, and so was everything that the
features are looked up in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from builders.dataset.dataset import Dataset
from builders.evaluation.ranking import by_length, seen_items
from builders.ranker.interface import FeatureHead, Ranker
from builders.ranker.scoring import candidate_scores
from builders.retrieval.feature_step import FeatureStep
from builders.settings import Settings
from ensembles.contracts import HEAD_FEATURES

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
"""What the fitted head is multiplied with; cross-validation chooses."""

_USERS = 10_000
_RANDOM = 200
_FOLDS = 4
_STEPS = 120
_ROWS = 256


@dataclass(frozen=True)
class HeadFit:
    """Outcome of the fit.

    Attributes:
        factor: what the fitted head was multiplied with.
        without: cross-validated loss (natural logarithm) of the target among its candidates.
        with_head: the same with the head.
    """

    factor: float
    without: float
    with_head: float


@dataclass(frozen=True)
class Examples:
    """M rows of C candidates; the target stands in column 0.

    Attributes:
        score: float [M, C], of the sequence model.
        features: float [M, C, F], what the head reads.
        real: bool [M, C], False for padding.
        correction: float [C], logarithm of how many items a column stands for.
    """

    score: Tensor
    features: Tensor
    real: Tensor
    correction: Tensor

    def rows(self, index: Tensor) -> Examples:
        """Some of the rows."""
        return Examples(self.score[index], self.features[index], self.real[index], self.correction)

    def loss(self, logit: Tensor) -> Tensor:
        """Cross-entropy of the targets over the catalogue, as far as the columns tell."""
        logit = (logit + self.correction).masked_fill(~self.real, -torch.inf)
        return functional.cross_entropy(logit, torch.zeros(len(logit), dtype=torch.long))


def fit_hybrid(ranker: Ranker, dataset: Dataset, step: FeatureStep, settings: Settings) -> HeadFit:
    """Fit ``ranker.head`` in place, scaled by the factor that cross-validation finds best.

    Loss decides and not NDCG: it moves with every rank, where a few lucky users move NDCG@10.

    Args:
        step: feature step over all training events, as it is served.
    """
    head = ranker.head
    assert head is not None, "a ranker without head has nothing to fit"
    examples = collect_examples(ranker, dataset, step, settings)
    temperature, seed = settings.train.temperature, settings.train.seed
    losses = cross_validated_losses(examples, temperature, seed)
    best = min(FACTORS, key=lambda factor: losses[factor])
    fit_head(head, examples, temperature, seed)
    with torch.no_grad():
        head.out.weight *= best
    return HeadFit(best, losses[0.0], losses[best])


def collect_examples(
    ranker: Ranker, dataset: Dataset, step: FeatureStep, settings: Settings
) -> Examples:
    """Validation events of at most 10,000 users among retrieved and random candidates.

    Retrieved candidates stand for themselves, random ones for all others. Without random ones a
    target that was not retrieved would teach the head that what is retrieved is wrong.
    """
    users, target = dataset.targets("validation")
    rng = np.random.default_rng(settings.train.seed)
    chosen = np.sort(rng.permutation(len(users))[:_USERS])
    users, target = users[chosen], target[chosen]
    history = dataset.histories("validation", users, settings.features.history)
    count = settings.retrieval.candidates
    candidate = np.zeros((len(users), count + _RANDOM), np.int32)
    for rows in by_length(dataset, "validation", users):
        seen = seen_items(dataset, "validation", users[rows])
        found = step.retrieve(history[rows], seen, count)
        others = rng.integers(1, dataset.items + 1, (len(rows), _RANDOM), dtype=np.int32)
        others[_among(others, np.concatenate([found, seen], axis=1))] = 0
        candidate[rows] = np.concatenate([found, others], axis=1)
    candidate[candidate == target[:, None]] = 0
    candidate = np.concatenate([target[:, None], candidate], axis=1)
    return Examples(
        torch.from_numpy(candidate_scores(ranker, history, candidate)),
        torch.from_numpy(step.pack(history, candidate)[..., :HEAD_FEATURES]),
        torch.from_numpy(candidate > 0),
        torch.cat([torch.zeros(1 + count), torch.full((_RANDOM,), dataset.items / _RANDOM).log()]),
    )


def _among(items: NDArray[np.int32], others: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each of ``items`` [M, K] is in its row of ``others`` [M, S]."""
    rows = np.arange(len(items), dtype=np.int64)[:, None] << 32
    return np.isin(rows | items, rows | others)


def cross_validated_losses(examples: Examples, temperature: float, seed: int) -> dict[float, float]:
    """Loss by factor, on rows that the head was not fitted on."""
    order = torch.randperm(len(examples.score), generator=torch.Generator().manual_seed(seed))
    folds = order.chunk(_FOLDS)
    total = dict.fromkeys(FACTORS, 0.0)
    for number, held_out in enumerate(folds):
        others = torch.cat([f for n, f in enumerate(folds) if n != number] or [held_out])
        head = FeatureHead()
        trust = fit_head(head, examples.rows(others), temperature, seed)
        rows = examples.rows(held_out)
        for factor in FACTORS:
            with torch.no_grad():
                logit = (rows.score + factor * head(rows.features)) * trust / temperature
            total[factor] += rows.loss(logit).item() * len(held_out)
    return {factor: loss / len(order) for factor, loss in total.items()}


def fit_head(head: FeatureHead, examples: Examples, temperature: float, seed: int) -> float:
    """Cross-entropy of the targets among their candidates, the sequence model's scores fixed.

    A weight of those scores is fitted along: a sequence model that is too sure of itself would
    leave the head too little to say. It is divided out of the head in the end.

    Returns:
        That weight.
    """
    real = examples.features[examples.real]
    mean, spread = real.mean(0), real.std(0, correction=0).clamp(min=1e-6)
    features = (examples.features - mean) / spread
    torch.manual_seed(seed)
    fitted = FeatureHead()
    trust = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.AdamW([*fitted.parameters(), trust], lr=5e-3, weight_decay=1e-3)
    for _ in range(_STEPS):
        index = torch.randperm(len(features))[:_ROWS]
        rows = examples.rows(index)
        logit = trust.exp() * rows.score / temperature + fitted(features[index])
        optimizer.zero_grad()
        rows.loss(logit).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    weight = float(trust.detach().exp())
    _fold(fitted, head, mean, spread, temperature / weight)
    return weight


@torch.no_grad()
def _fold(
    fitted: FeatureHead, head: FeatureHead, mean: Tensor, spread: Tensor, scale: float
) -> None:
    """Write the head that reads raw features and adds to raw scores."""
    head.hidden.weight.copy_(fitted.hidden.weight / spread)
    head.hidden.bias.copy_(fitted.hidden.bias - fitted.hidden.weight @ (mean / spread))
    head.out.weight.copy_(fitted.out.weight * scale)
