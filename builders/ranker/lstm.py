"""An LSTM over the history, behind the same interface as the transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from builders.ranker.dropout import Dropout
from builders.ranker.tied import TiedRanker
from builders.settings import Ranker as RankerSettings


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

    def encode(self, history: Tensor) -> Tensor:
        # A recurrent state would move on while it reads padding. So rows are turned until the
        # events stand first, one start token before them, and the states are turned back.
        padding = (history == 0).sum(1, keepdim=True)
        place = torch.arange(history.shape[1], device=history.device)
        turned = torch.gather(history, 1, (place + padding).clamp(max=history.shape[1] - 1))
        turned = turned.masked_fill(place >= history.shape[1] - padding, 0)
        start = torch.zeros_like(history[:, :1])
        states, _ = self.lstm(self.dropout(self.embed(torch.cat([start, turned], 1))))
        back = (place + 1 - padding).clamp(min=0).unsqueeze(-1).expand(-1, -1, states.shape[2])
        return self.scored(self.norm(self.dropout(torch.gather(states, 1, back))))
