"""Softmax losses over the catalogue, for states of real positions only (flattened before)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_CHUNK = 512


def full_softmax(
    state: Tensor, vectors: Tensor, target: Tensor, *, temperature: float, label_smoothing: float
) -> Tensor:
    """Mean cross-entropy over all items.

    Args:
        state: float [M, D].
        vectors: float [N+1, D]; row 0 (padding) takes no part.
        target: int [M], item numbers 1..N.
        temperature: scores are divided by it.
        label_smoothing: share of the target spread evenly over the items.
    """
    scaled = state / temperature
    bf16 = torch.is_autocast_enabled(state.device.type)
    loss: Tensor = _ChunkedSoftmax.apply(  # type: ignore[no-untyped-call]
        scaled.float(), vectors[1:].float(), target.long() - 1, label_smoothing, bf16
    )
    return loss


def sampled_softmax(
    state: Tensor,
    vectors: Tensor,
    target: Tensor,
    negative: Tensor,
    log_q: Tensor,
    *,
    temperature: float,
    label_smoothing: float,
) -> Tensor:
    """Cross-entropy against sampled items, corrected for how likely they are to be sampled.

    Each negative's score is lowered by ``log(K q)``, so that the sum over negatives estimates
    the sum over the catalogue (Bengio and Senecal 2008; Yi et al. 2019). A negative that is
    the row's target is left out of that row.

    Args:
        state: float [M, D].
        vectors: float [N+1, D].
        target: int [M].
        negative: int [K], shared by all rows.
        log_q: float [N+1], log probability of drawing each item.
    """
    kept = vectors[negative]
    positive = (state * vectors[target]).sum(-1, keepdim=True) / temperature
    correction = log_q[negative] + torch.log(torch.tensor(float(len(negative))))
    scores = (state @ kept.T).float() / temperature - correction
    scores = scores.masked_fill(negative == target[:, None], float("-inf"))
    logits = torch.cat([positive.float(), scores], dim=1)
    if label_smoothing == 0:
        return functional.cross_entropy(logits, torch.zeros_like(target, dtype=torch.long))
    finite = torch.where(logits.isfinite(), logits, logits.new_zeros(()))
    spread = (finite.sum(1) / logits.isfinite().sum(1)).mean()
    hard = positive.float().mean()
    aim = (1 - label_smoothing) * hard + label_smoothing * spread
    return torch.logsumexp(logits, 1).mean() - aim


class _ChunkedSoftmax(torch.autograd.Function):
    """Cross-entropy of ``state @ vectors.T`` that never holds all scores.

    The gradient is made beside the loss, chunk by chunk: one pass over the catalogue instead
    of storing [M, N] scores for the way back. In bfloat16 when autocast is on.
    """

    @staticmethod
    def forward(
        ctx: Any, state: Tensor, vectors: Tensor, target: Tensor, smoothing: float, bf16: bool
    ) -> Tensor:
        dtype = torch.bfloat16 if bf16 else torch.float32
        rows, items = state.shape[0], vectors.shape[0]
        low_state, low_vectors = state.to(dtype), vectors.to(dtype)
        to_state, to_vectors = torch.empty_like(state), torch.zeros_like(vectors)
        log_sum = state.new_zeros(())
        for start in range(0, rows, _CHUNK):
            part = slice(start, start + _CHUNK)
            scores = low_state[part] @ low_vectors.T
            log_sum += torch.logsumexp(scores, 1).float().sum()
            chance = torch.softmax(scores, 1)
            to_state[part] = (chance @ low_vectors).float()
            to_vectors += (chance.T @ low_state[part]).float()
        mean_vector, hard = vectors.mean(0), vectors[target]
        aim = (1 - smoothing) * hard + smoothing * mean_vector
        to_state -= aim
        to_vectors.index_add_(0, target, state, alpha=-(1 - smoothing))
        if smoothing:
            to_vectors -= smoothing / items * state.sum(0)
        ctx.save_for_backward(to_state / rows, to_vectors / rows)
        return (log_sum - (state * aim).sum()) / rows

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> tuple[Tensor, Tensor, None, None, None]:
        to_state, to_vectors = ctx.saved_tensors
        return to_state * grad[0], to_vectors * grad[0], None, None, None
