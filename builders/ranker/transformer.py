"""A causal transformer over the history: pre-norm, padding-safe, one state per event."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from builders.ranker.dropout import Dropout
from builders.ranker.settings import Ranker as RankerSettings
from builders.ranker.tied import TiedRanker
from ensembles.errors import SettingsError

HIDDEN = -64.0
"""Added to a score that is not to count: e^-64 is 2e-28 of it, far below what float32 resolves.

With the lowest number, ONNX Runtime's softmax computes subnormals, and takes much longer.
"""


class TransformerRanker(TiedRanker):
    """Self-attentive sequential ranker (SASRec, Kang and McAuley 2018) with pre-norm blocks.

    A padding position attends to itself only, so its state is the same wherever it stands.
    The shape of a block is that of its matrices, so that heads, feed-forward channels and whole
    blocks can be taken out of a finished ranker (see ``conform``).

    Raises:
        SettingsError: rotary positions with an odd number of dimensions per head.
    """

    def __init__(self, items: int, history: int, settings: RankerSettings) -> None:
        super().__init__(items, settings)
        width, heads = settings.width, settings.heads
        if settings.positions == "rotary" and (width // heads) % 2:
            raise SettingsError(
                f"rotary positions need an even width per head; got {width} / {heads}: "
                "change ranker.width or ranker.heads, or use positions = 'learned'"
            )
        self.age = nn.Embedding(history, width) if settings.positions == "learned" else None
        if self.age is not None:
            nn.init.normal_(self.age.weight, std=0.02)
        self.dropout = Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(width)
        self.blocks.apply(_initialise)

    def states(self, history: Tensor, vectors: Tensor) -> Tensor:
        return self._states(history, vectors, newest_only=False)

    def newest_state(self, history: Tensor, vectors: Tensor) -> Tensor:
        # The last block needs queries, feed-forward and norm of the newest position only.
        return self._states(history, vectors, newest_only=True)[:, 0]

    def _states(self, history: Tensor, vectors: Tensor, *, newest_only: bool) -> Tensor:
        state = self.dropout(self._placed(history, vectors))
        bias = self._attention_bias(history, state.dtype)
        for block in self.blocks[:-1]:
            state = block(state, bias, newest_only=False)
        state = self.blocks[-1](state, bias, newest_only=newest_only)
        return self.scored(self.norm(state))

    def _placed(self, history: Tensor, vectors: Tensor) -> Tensor:
        if self.age is None:
            return vectors
        # Counted from the newest event, so that padding on the left moves nothing.
        ages = torch.arange(history.shape[1] - 1, -1, -1, device=history.device)
        placed: Tensor = vectors + self.age(ages) * (history != 0).unsqueeze(-1)
        return placed

    def _attention_bias(self, history: Tensor, dtype: torch.dtype) -> Tensor:
        """0 where a query may look, ``HIDDEN`` elsewhere: float [B, 1, L, L]."""
        index = torch.arange(history.shape[1], device=history.device)
        back = index[:, None] - index[None, :]
        real = (history != 0)[:, None, None, :]
        allowed = ((back >= 0) & real) | (back == 0)
        nothing = torch.zeros((), dtype=dtype, device=history.device)
        return nothing.masked_fill(~allowed, HIDDEN)


class Block(nn.Module):
    """Attention and feed-forward, each normalised before and added after."""

    def __init__(self, settings: RankerSettings) -> None:
        super().__init__()
        width, inner = settings.width, settings.width * settings.feed_forward
        self.head_width = width // settings.heads
        self.rotary = settings.positions == "rotary"
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)
        self.forward_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.dropout = Dropout(settings.dropout)

    def forward(self, state: Tensor, bias: Tensor, *, newest_only: bool) -> Tensor:
        """float [B, L, D] → [B, L, D], or [B, 1, D] for the newest position only."""
        normed = self.attention_norm(state)
        if newest_only:
            state, bias = state[:, -1:], bias[:, :, -1:]
        attended = self._attend(normed[:, -state.shape[1] :], normed, bias)
        state = state + self.dropout(attended)
        inner = self.dropout(functional.gelu(self.widen(self.forward_norm(state))))
        out: Tensor = state + self.dropout(self.narrow(inner))
        return out

    def _attend(self, asking: Tensor, asked: Tensor, bias: Tensor) -> Tensor:
        query = self._split(self.query(asking))
        key, value = (self._split(x) for x in self.key_value(asked).chunk(2, -1))
        if self.rotary:
            query, key = rotate(query, asked.shape[1]), rotate(key, asked.shape[1])
        # Written out: at lengths like these the fused kernel is slower on a CPU.
        scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5) + bias
        mixed = torch.softmax(scores, -1).to(value.dtype) @ value
        out: Tensor = self.merge(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], -1, self.head_width).transpose(1, 2)


def rotate(x: Tensor, length: int) -> Tensor:
    """Rotary positions (RoFormer, Su et al. 2021) for the newest positions of ``length``.

    float [B, heads, M, D] → the same; M ≤ ``length``. Attention then depends on distances only.
    """
    half = x.shape[-1] // 2
    steps = torch.arange(half, device=x.device, dtype=torch.float32)
    places = torch.arange(length - x.shape[-2], length, device=x.device, dtype=torch.float32)
    angle = places[:, None] * 10000.0 ** (-steps / half)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
