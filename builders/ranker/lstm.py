"""An LSTM over the history, behind the same interface as the transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from builders.ranker.dropout import Dropout
from builders.ranker.settings import Ranker as RankerSettings
from builders.ranker.tied import TiedRanker


class LSTMRanker(TiedRanker):
    """Recurrent ranker (as GRU4Rec, Hidasi et al. 2016, with LSTM cells)."""

    def __init__(self, items: int, history: int, settings: RankerSettings) -> None:
        super().__init__(items, settings)
        self.dropout = Dropout(settings.dropout)
        between = settings.dropout if settings.layers > 1 else 0.0
        self.lstm = nn.LSTM(
            settings.width, settings.width, settings.layers, batch_first=True, dropout=between
        )
        self.norm = nn.LayerNorm(settings.width)
        self.history = history

    def states(self, history: Tensor, vectors: Tensor) -> Tensor:
        # A recurrent state would move on while it reads padding. So rows are turned until the
        # events stand first, one start token before them, and the states are turned back.
        length, width = history.shape[1], vectors.shape[2]
        padding = (history == 0).sum(1, keepdim=True)
        place = torch.arange(length, device=history.device)
        turn = (place + padding).clamp(max=length - 1).unsqueeze(-1).expand(-1, -1, width)
        # What stands behind the events is read, but no state is taken from there.
        turned = torch.gather(vectors, 1, turn)
        start = self.read(self.start()).expand(history.shape[0], 1, -1)
        states, _ = self.lstm(self.dropout(torch.cat([start, turned], 1)))
        back = (place + 1 - padding).clamp(min=0).unsqueeze(-1).expand(-1, -1, states.shape[2])
        return self.scored(self.norm(self.dropout(torch.gather(states, 1, back))))
