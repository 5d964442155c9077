"""The head: it finds the feature that matters, and stays out where none does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from builders.ranker.hybrid import (
    FACTORS,
    Examples,
    collect_examples,
    cross_validated_losses,
    fit_head,
    fit_hybrid,
)
from builders.ranker.interface import FeatureHead
from builders.ranker.registry import build_ranker
from builders.retrieval.feature_step import FeatureStep, open_feature_step
from builders.retrieval.tables import write_tables
from ensembles.contracts import HEAD_FEATURES
from tests.unit.ranker.tiny_log import ITEMS, circle, settings_of


def _examples(signal: float, rows: int = 400, count: int = 12) -> Examples:
    """Scores of noise; feature 2 tells the target when there is ``signal``."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(rows, count, 5, generator=generator)
    features[:, 0, 2] += signal
    score = torch.randn(rows, count, generator=generator)
    real = torch.ones(rows, count, dtype=torch.bool)
    real[::2, -3:] = False
    # What stands at padding must not matter.
    score[::2, -3:], features[::2, -3:] = 1e4, 1e4
    return Examples(score, features, real, torch.zeros(count))


def test_the_feature_that_tells_the_target_is_found() -> None:
    examples = _examples(3.0)
    losses = cross_validated_losses(examples, 1.0, 0)
    assert min(FACTORS, key=lambda f: losses[f]) >= 0.75
    head = FeatureHead()
    fit_head(head, examples, 1.0, 0)
    low, high = torch.zeros(5), torch.zeros(5)
    high[2] = 3
    assert head(high) > head(low) + 0.5


def test_without_signal_the_head_is_not_trusted() -> None:
    losses = cross_validated_losses(_examples(0.0), 1.0, 0)
    assert min(FACTORS, key=lambda f: losses[f]) <= 0.5


def test_few_rows_are_enough_to_go_on() -> None:
    losses = cross_validated_losses(_examples(1.0, rows=1), 1.0, 0)
    assert all(np.isfinite(loss) for loss in losses.values())


def test_folding_gives_what_was_fitted() -> None:
    # The weight of the sequence score is divided out: order by score + head is order by logit.
    examples, temperature = _examples(2.0), 0.1
    head = FeatureHead()
    trust = fit_head(head, examples, temperature, 0)
    again = FeatureHead()
    assert fit_head(again, examples, temperature, 0) == trust
    with torch.no_grad():
        torch.testing.assert_close(head(examples.features), again(examples.features))
    assert trust > 0


@pytest.fixture
def step(tmp_path: Path) -> FeatureStep:
    dataset = circle()
    write_tables(dataset, settings_of(), dataset.train_mask(), tmp_path)
    return open_feature_step(tmp_path)


def test_examples_of_validation_events(step: FeatureStep) -> None:
    dataset, settings = circle(), settings_of()
    ranker = build_ranker(ITEMS, 8, settings.ranker)
    examples = collect_examples(ranker, dataset, step, settings)
    users, target = dataset.targets("validation")
    assert examples.score.shape == (len(users), 1 + 10 + 200)
    assert examples.real[:, 0].all()
    history = dataset.histories("validation", users, 8)
    expected = step.pack(history, target[:, None])[..., :HEAD_FEATURES]
    np.testing.assert_allclose(examples.features[:, :1].numpy(), expected, atol=1e-6)


def test_fit_hybrid_scales_the_head_of_the_ranker(step: FeatureStep) -> None:
    dataset, settings = circle(), settings_of()
    ranker = build_ranker(ITEMS, 8, settings.ranker)
    fit = fit_hybrid(ranker, dataset, step, settings)
    assert ranker.head is not None
    # An untrained ranker knows nothing; neighbours of the newest event know the rule.
    assert fit.factor > 0
    assert fit.with_head < fit.without
    assert ranker.head.out.weight.any()
