"""How far a student's scores over the catalogue are from its teacher's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK = 512
"""Positions whose scores over the catalogue are in memory at once, at most."""
_SCORES = 2**24
"""Scores that are in memory at once, at most."""


def softened_divergence(
    state: Tensor,
    vectors: Tensor,
    teacher_state: Tensor,
    teacher_vectors: Tensor,
    *,
    temperature: float,
    chunk: int = _CHUNK,
) -> Tensor:
    """Mean of KL(teacher || student) over positions, both a softmax over the catalogue.

    Scores are divided by ``temperature`` first (Hinton et al. 2015; for rankers Tang and Wang
    2018). The gradient flows to the student alone. Matrix products in bfloat16 when autocast
    is on.

    Args:
        state: float [M, D], of the student.
        vectors: float [N+1, D]; row 0 (padding) takes no part.
        teacher_state: float [M, T].
        teacher_vectors: float [N+1, T]; row 0 takes no part.
        chunk: positions that are computed together; fewer where the catalogue is large.
    """
    low = torch.bfloat16 if torch.is_autocast_enabled(state.device.type) else None
    with torch.autocast(state.device.type, enabled=False):
        loss: Tensor = _ChunkedDivergence.apply(  # type: ignore[no-untyped-call]
            _full(state) / temperature,
            _full(vectors[1:]),
            _full(teacher_state) / temperature,
            _full(teacher_vectors[1:]),
            max(1, min(chunk, _SCORES // len(vectors))),
            low,
        )
    return loss


def _full(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


class _ChunkedDivergence(torch.autograd.Function):
    """KL divergence that never holds all scores: its gradient is made beside it, in chunks."""

    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        vectors: Tensor,
        teacher_state: Tensor,
        teacher_vectors: Tensor,
        chunk: int,
        low: torch.dtype | None,
    ) -> Tensor:
        full, dtype = state.dtype, low or state.dtype
        low_state, low_vectors = state.to(dtype), vectors.to(dtype)
        asked, known = teacher_state.to(dtype), teacher_vectors.to(dtype)
        to_state, to_vectors = torch.empty_like(state), torch.zeros_like(vectors)
        total = state.new_zeros(())
        for start in range(0, len(state), chunk):
            part = slice(start, start + chunk)
            wanted = torch.log_softmax((asked[part] @ known.T).to(full), 1)
            given = torch.log_softmax((low_state[part] @ low_vectors.T).to(full), 1)
            chance = wanted.exp()
            total += (chance * (wanted - given)).sum()
            error = (given.exp() - chance).to(dtype)
            to_state[part] = (error @ low_vectors).to(full)
            to_vectors += (error.T @ low_state[part]).to(full)
        ctx.save_for_backward(to_state / len(state), to_vectors / len(state))
        return total / len(state)

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> tuple[Tensor, Tensor, None, None, None, None]:
        to_state, to_vectors = ctx.saved_tensors
        return to_state * grad[0], to_vectors * grad[0], None, None, None, None
