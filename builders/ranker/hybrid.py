"""The hybrid: a small head over candidate features, fitted beside a finished sequence model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from builders.dataset.dataset import Dataset
from builders.evaluation.metrics import Metrics
from builders.evaluation.retrieved import RetrievedCandidates, retrieved_ranks
from builders.ranker.interface import FeatureHead, Ranker
from builders.ranker.scoring import candidate_scores, head_scores
from builders.retrieval.feature_step import FeatureStep
from builders.settings import Settings

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""What the fitted head is multiplied with; validation chooses."""

_USERS = 10_000
_RANDOM = 100
_EPOCHS = 20
_ROWS = 256


@dataclass(frozen=True)
class HeadFit:
    """Outcome: the chosen factor, and validation NDCG@10 of the retrieved with and without."""

    factor: float
    with_head: float
    without: float


@dataclass(frozen=True)
class Examples:
    """M rows of C candidates; the target stands in column 0.

    Attributes:
        score: float [M, C], of the sequence model.
        features: float [M, C, F].
        real: bool [M, C], False for padding.
    """

    score: Tensor
    features: Tensor
    real: Tensor


def fit_hybrid(
    ranker: Ranker, dataset: Dataset, inner: FeatureStep, outer: FeatureStep, settings: Settings
) -> HeadFit:
    """Fit ``ranker.head`` in place and scale it by the factor that is best on validation.

    The head learns to rank each user's last training event among what is retrieved for the
    events before. ``inner`` holds tables without those last events: with tables that contain
    them the head would trust features that have seen the answer.

    Args:
        inner: feature step over training events without each user's last.
        outer: feature step over all training events, as it is served.
    """
    head = ranker.head
    assert head is not None, "a ranker without head has nothing to fit"
    examples = collect_examples(ranker, dataset, inner, settings)
    fit_head(head, examples, settings.train.temperature, settings.train.seed)
    candidates = RetrievedCandidates.of(dataset, outer, settings, "validation")
    base = candidate_scores(ranker, candidates.history, candidates.candidate)
    extra = head_scores(head, candidates.features)
    quality = {f: Metrics.of(retrieved_ranks(base + f * extra, candidates)) for f in FACTORS}
    best = max(FACTORS, key=lambda f: quality[f].ndcg10)
    with torch.no_grad():
        head.out.weight *= best
    return HeadFit(best, quality[best].ndcg10, quality[0.0].ndcg10)


def collect_examples(
    ranker: Ranker, dataset: Dataset, inner: FeatureStep, settings: Settings
) -> Examples:
    """Retrieved candidates and features of users' last training events, at most 10,000."""
    length = dataset.train_end - dataset.offsets[:-1]
    users = np.flatnonzero(length >= 2)
    rng = np.random.default_rng(settings.train.seed)
    if len(users) > _USERS:
        users = np.sort(rng.choice(users, _USERS, replace=False))
    last = dataset.train_end[users] - 1
    history = dataset.before(users, last, settings.features.history)
    seen = dataset.before(users, last, int(length[users].max(initial=1)))
    target = dataset.item[last]
    candidate = inner.retrieve(history, seen, settings.retrieval.candidates)
    # Some of any kind, so that the head also knows what is never retrieved.
    anything = rng.integers(1, dataset.items + 1, (len(users), _RANDOM), dtype=np.int32)
    candidate = np.concatenate([candidate, anything], axis=1)
    candidate = np.where(candidate == target[:, None], 0, candidate)
    candidate = np.concatenate([target[:, None], candidate], axis=1)
    score = candidate_scores(ranker, history, candidate)
    features = inner.pack(history, candidate)
    return Examples(
        torch.from_numpy(score), torch.from_numpy(features), torch.from_numpy(candidate > 0)
    )


def fit_head(head: FeatureHead, examples: Examples, temperature: float, seed: int) -> None:
    """Cross-entropy of the targets among their candidates, the sequence model's scores fixed.

    A weight of those scores is fitted along and divided out in the end: they come from a model
    that was trained on the same targets, so here they look better than they are.
    """
    torch.manual_seed(seed)
    real = examples.features[examples.real]
    mean, spread = real.mean(0), real.std(0).clamp(min=1e-6)
    features = (examples.features - mean) / spread
    fitted = FeatureHead()
    trust = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.AdamW([*fitted.parameters(), trust], lr=5e-3, weight_decay=1e-3)
    order = torch.Generator().manual_seed(seed)
    for _ in range(_EPOCHS):
        for rows in torch.randperm(len(features), generator=order).split(_ROWS):  # type: ignore[no-untyped-call]
            logit = trust.exp() * examples.score[rows] / temperature + fitted(features[rows])
            logit = logit.masked_fill(~examples.real[rows], -torch.inf)
            loss = functional.cross_entropy(logit, torch.zeros(len(rows), dtype=torch.long))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    _fold(fitted, head, mean, spread, temperature / float(trust.detach().exp()))


@torch.no_grad()
def _fold(
    fitted: FeatureHead, head: FeatureHead, mean: Tensor, spread: Tensor, scale: float
) -> None:
    """Write the head that reads raw features and adds to raw scores."""
    head.hidden.weight.copy_(fitted.hidden.weight / spread)
    head.hidden.bias.copy_(fitted.hidden.bias - fitted.hidden.weight @ (mean / spread))
    head.out.weight.copy_(fitted.out.weight * scale)
