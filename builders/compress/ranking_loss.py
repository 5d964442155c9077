"""Calibration rows as a PyTorch ranker reads them, and the loss that importance is measured by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from builders.evaluation.ranking import trimmed
from builders.evaluation.retrieved import RetrievedCandidates
from builders.ranker.interface import Ranker

_ROWS = 8


@dataclass(frozen=True)
class Rows:
    """A few rows of about the same length.

    Attributes:
        history: int [B, L], trimmed: L is the longest of these histories.
        candidate: int [B, C].
        features: float [B, C, F].
        column: int [B], where the target stands among the candidates.
    """

    history: Tensor
    candidate: Tensor
    features: Tensor
    column: Tensor

    @property
    def real(self) -> Tensor:
        """Where the history has events: bool [B, L]."""
        return self.history != 0

    def scores(self, ranker: Ranker) -> Tensor:
        """As served: float [B, C]."""
        found: Tensor = ranker(self.history, self.candidate, self.features)
        return found

    def loss(self, ranker: Ranker, temperature: float) -> Tensor:
        """Cross-entropy of the targets among their candidates, summed over the rows."""
        scores = self.scores(ranker) / temperature
        scores = scores.masked_fill(self.candidate == 0, float("-inf"))
        return functional.cross_entropy(scores, self.column, reduction="sum")


def batches(calibration: RetrievedCandidates) -> Iterator[Rows]:
    """All rows, by length; few at a time, because gradients hold every layer's activations."""
    order = np.argsort((calibration.history != 0).sum(axis=1), kind="stable")
    for start in range(0, len(order), _ROWS):
        taken = order[start : start + _ROWS]
        candidate = calibration.candidate[taken]
        yield Rows(
            torch.from_numpy(np.ascontiguousarray(trimmed(calibration.history[taken]))),
            torch.from_numpy(candidate),
            torch.from_numpy(calibration.features[taken]),
            torch.from_numpy((candidate == calibration.target[taken][:, None]).argmax(axis=1)),
        )
