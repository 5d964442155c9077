"""A ranker with one item table: what is read from it is also what is scored."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from builders.ranker.interface import Ranker
from builders.ranker.settings import Ranker as RankerSettings


class TiedRanker(Ranker):
    """Base of the built-in rankers.

    Row 0 of the table is the start token: it stands before the first event, and its state
    answers an empty history. A subclass gives ``states``, and ``newest_state`` where the newest
    state alone is cheaper.
    """

    def __init__(self, items: int, settings: RankerSettings) -> None:
        super().__init__(settings.hybrid)
        self.item: nn.Module = nn.Embedding(items + 1, settings.width)
        nn.init.normal_(self.item.get_parameter("weight"), std=0.02)
        self._scale = math.sqrt(settings.width)
        self._normalise = settings.normalise

    @abstractmethod
    def states(self, history: Tensor, vectors: Tensor) -> Tensor:
        """``encode`` of a history whose rows of the item table are looked up already.

        Args:
            history: int [B, L], which tells padding.
            vectors: float [B, L, D], scaled by ``read``.
        """

    def newest_state(self, history: Tensor, vectors: Tensor) -> Tensor:
        """State after the newest event: float [B, D]."""
        return self.states(history, vectors)[:, -1]

    def encode(self, history: Tensor) -> Tensor:
        return self.states(history, self.read(self.item(history)))

    def user_vector(self, history: Tensor) -> Tensor:
        return self.newest_state(history, self.read(self.item(history)))

    def start(self) -> Tensor:
        """Row 0 of the item table, the start token: float [D]."""
        row: Tensor = self.item(torch.zeros((), dtype=torch.int32))
        return row

    def read(self, vectors: Tensor) -> Tensor:
        """Rows of the item table as the network reads them: about unit scale."""
        return vectors * self._scale

    def item_vectors(self) -> Tensor:
        table: Any = self.item.weight
        return self.scored(table)

    def candidate_vectors(self, candidate: Tensor) -> Tensor:
        return self.scored(self.item(candidate))

    def scored(self, vectors: Tensor) -> Tensor:
        """States or item vectors as they are multiplied: length 1 when scores are cosines."""
        if not self._normalise:
            return vectors
        if self.training:
            return functional.normalize(vectors, dim=-1)
        # The same without its copy of the lengths for every dimension, which an exported graph
        # would make for each request.
        lengths: Tensor = vectors.norm(dim=-1, keepdim=True)
        return vectors / lengths.clamp_min(1e-12)
