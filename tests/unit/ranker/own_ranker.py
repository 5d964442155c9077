"""A ranker of one's own, as a user would write it: ``ranker.kind = "package.module:Class"``.

It subclasses ``builders.ranker.interface.Ranker``, is constructed with the number of items, the
longest history and the [ranker] section, and gives two methods. Training, the hybrid head,
evaluation and export to ONNX then work as for the built-in ones. ``Plain`` shows that any
``torch.nn.Module`` with the same two methods will do as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from builders.ranker.interface import Ranker
from builders.ranker.settings import Ranker as RankerSettings


class MeanRanker(Ranker):
    """The state is the mean of all events so far, which says nothing about their order."""

    def __init__(self, items: int, history: int, settings: RankerSettings) -> None:
        super().__init__(settings.hybrid)
        self.item = nn.Embedding(items + 1, settings.width)
        self.start = nn.Parameter(torch.zeros(settings.width))

    def encode(self, history: Tensor) -> Tensor:
        real = (history != 0).unsqueeze(-1).float()
        total = (self.item(history) * real).cumsum(1)
        # The start vector counts as one event, so that an empty history has a state too.
        states: Tensor = (total + self.start) / (real.cumsum(1) + 1)
        return states

    def item_vectors(self) -> Tensor:
        return self.item.weight


class Plain(nn.Module):
    """No subclass of ours: the last event's vector is the state."""

    def __init__(self, items: int, history: int, settings: RankerSettings) -> None:
        super().__init__()
        self.item = nn.Embedding(items + 1, settings.width)

    def encode(self, history: Tensor) -> Tensor:
        states: Tensor = self.item(history)
        return states

    def item_vectors(self) -> Tensor:
        return self.item.weight


class NoVectors(nn.Module):
    """Lacks ``item_vectors``."""

    def encode(self, history: Tensor) -> Tensor:
        return history


class NoArguments(Plain):
    """Cannot be constructed as rankers are."""

    def __init__(self) -> None:
        super().__init__(1, 1, RankerSettings())


class WrongShape(Plain):
    """One state per row instead of one per event."""

    def encode(self, history: Tensor) -> Tensor:
        return super().encode(history)[:, -1:]


class NotFinite(Plain):
    """A mean over the events that a row of padding does not have."""

    def encode(self, history: Tensor) -> Tensor:
        real = (history != 0).unsqueeze(-1)
        return (super().encode(history) * real).cumsum(1) / real.cumsum(1)
