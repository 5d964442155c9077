"""Linear layers, whole or of low rank, with fewer outputs or inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from builders.ranker.compact import LowRankLinear


def keep_outputs(layer: nn.Module, index: Tensor) -> None:
    """Take all outputs but those of ``index``, int [kept], out of ``layer``, in place."""
    last = layer.up if isinstance(layer, LowRankLinear) else layer
    assert isinstance(last, nn.Linear)
    last.weight = nn.Parameter(last.weight.detach()[index].contiguous())
    if last.bias is not None:
        last.bias = nn.Parameter(last.bias.detach()[index].contiguous())
    last.out_features = len(index)


def keep_inputs(layer: nn.Module, index: Tensor) -> None:
    """Take all inputs but those of ``index``, int [kept], out of ``layer``, in place."""
    first = layer.down if isinstance(layer, LowRankLinear) else layer
    assert isinstance(first, nn.Linear)
    first.weight = nn.Parameter(first.weight.detach()[:, index].contiguous())
    first.in_features = len(index)


@torch.no_grad()
def weight_of(layer: nn.Module) -> Tensor:
    """The matrix that ``layer`` multiplies with: float [out, in]."""
    if isinstance(layer, LowRankLinear):
        return layer.up.weight @ layer.down.weight
    assert isinstance(layer, nn.Linear)
    return layer.weight
