"""What every ranker is: the one interface that training, export and evaluation depend on."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from ensembles.contracts import HEAD_FEATURES


class Ranker(nn.Module, ABC):
    """Scores candidates for a history.

    A subclass is constructed as ``Class(items=N, history=H, settings=settings.ranker)`` and
    gives ``encode`` and ``item_vectors``; the hybrid head and the dot product are here.
    """

    def __init__(self, hybrid: bool) -> None:
        super().__init__()
        self.head = FeatureHead() if hybrid else None

    @abstractmethod
    def encode(self, history: Tensor) -> Tensor:
        """State after each event: int [B, L] padded left with 0 → float [B, L, D]; L ≤ H.

        Causal (state t sees events up to t only) and padding-safe: finite for a row of
        padding, and unchanged when padding is added on the left. The state at a padding
        position is that of an empty history; training lets it predict first events.
        """

    @abstractmethod
    def item_vectors(self) -> Tensor:
        """Vectors that states are multiplied with: float [N+1, D]; row 0 is padding."""

    def user_vector(self, history: Tensor) -> Tensor:
        """State after the newest event, float [B, D]: what ``forward`` multiplies."""
        return self.encode(history)[:, -1]

    def candidate_vectors(self, candidate: Tensor) -> Tensor:
        """Rows of ``item_vectors`` for int [B, C]: float [B, C, D].

        A ranker whose vectors are computed from a table overrides it, so that serving does
        not compute the whole catalogue for a few candidates.
        """
        return functional.embedding(candidate, self.item_vectors())

    def forward(self, history: Tensor, candidate: Tensor, candidate_features: Tensor) -> Tensor:
        """Scores, float [B, C].

        Args:
            history: int [B, L], padded left with 0.
            candidate: int [B, C] item numbers, 0 for padding.
            candidate_features: float [B, C, F].
        """
        user = self.user_vector(history).unsqueeze(-1)
        score = torch.matmul(self.candidate_vectors(candidate), user).squeeze(-1)
        return self.blended(score, candidate_features)

    def blended(self, score: Tensor, features: Tensor) -> Tensor:
        """Scores of the sequence model with what else is known of the candidates: float [B, C].

        The head is added first. The picture of a request then takes its share of the whole:
        scores are multiplied with 1 - its weight, and its weighted match is added.

        Args:
            score: float [B, C].
            features: float [B, C, F].
        """
        if self.head is not None:
            score = score + self.head(features)
        match, weight = features[..., HEAD_FEATURES], features[..., HEAD_FEATURES + 1]
        return score * (1 - weight) + match


class FeatureHead(nn.Module):
    """A small network over the first features of candidates: float [..., F] → [...].

    It starts at zero, so that an untrained head leaves the ranker's order alone.
    """

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Linear(HEAD_FEATURES, hidden)
        self.out = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, features: Tensor) -> Tensor:
        score: Tensor = self.out(torch.relu(self.hidden(features[..., :HEAD_FEATURES])))
        return score.squeeze(-1)
