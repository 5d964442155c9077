"""A ranker with one item table: what is read from it is also what is scored."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from builders.ranker.interface import Ranker
from builders.settings import Ranker as RankerSettings


class TiedRanker(Ranker):
    """Base of the built-in rankers.

    Row 0 of the table is the start token: it stands before the first event, and its state
    answers an empty history.
    """

    def __init__(self, items: int, settings: RankerSettings) -> None:
        super().__init__(settings.hybrid)
        self.item = nn.Embedding(items + 1, settings.width)
        nn.init.normal_(self.item.weight, std=0.02)
        self._scale = math.sqrt(settings.width)
        self._normalise = settings.normalise

    def embed(self, history: Tensor) -> Tensor:
        """Vectors that the network reads: int [B, L] → float [B, L, D], about unit scale."""
        vectors: Tensor = self.item(history)
        return vectors * self._scale

    def item_vectors(self) -> Tensor:
        return self.scored(self.item.weight)

    def candidate_vectors(self, candidate: Tensor) -> Tensor:
        return self.scored(self.item(candidate))

    def scored(self, vectors: Tensor) -> Tensor:
        """States or item vectors as they are multiplied: length 1 when scores are cosines."""
        return functional.normalize(vectors, dim=-1) if self._normalise else vectors
