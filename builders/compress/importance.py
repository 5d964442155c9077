"""How much heads, feed-forward channels and blocks matter, measured on training rows.

``taylor``: what the loss would change by, to first order, if the part were taken out: a gate of
ones stands on it, and the gradient of the gate is activation times gradient, summed over the
positions. Its absolute value is averaged over the rows (Molchanov et al. 2017; Michel et al.
2019). ``activation``: how much the part changes what flows past it.

Both look at the path that is served, where the last block computes the newest position only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from builders.compress.interface import CompressionData, DoesNotApply
from builders.compress.ranking_loss import Rows, batches
from builders.compress.slices import weight_of
from builders.ranker.interface import Ranker
from builders.ranker.transformer import Block, TransformerRanker

Kind = Literal["taylor", "activation"]


def blocks_of(ranker: Ranker) -> list[Block]:
    """The blocks of a transformer.

    Raises:
        DoesNotApply: the ranker is of another kind.
    """
    if not isinstance(ranker, TransformerRanker):
        raise DoesNotApply(
            f"{type(ranker).__name__} has no transformer blocks; pruning is for "
            "ranker.kind = 'transformer'"
        )
    return [block for block in ranker.blocks if isinstance(block, Block)]


def group_importance(
    ranker: Ranker, layers: Sequence[nn.Module], size: int, kind: Kind, data: CompressionData
) -> list[Tensor]:
    """Importance of the inputs of linear layers, taken ``size`` at a time.

    The ``activation`` of a group is the mean length of what it adds to the layer's output.

    Returns:
        For each layer float [inputs / size].
    """
    seen: list[Tensor] = []

    def gate(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        del module
        inputs = _grouped(args[0], size)
        seen.append(torch.ones(len(inputs), 1, inputs.shape[2], 1, requires_grad=True))
        return ((inputs * seen[-1]).flatten(-2),)

    def lengths(module: nn.Module, args: tuple[Tensor]) -> None:
        # |W x|² = x' (W'W) x, without the [B, L, groups, out] that W x itself would take.
        inputs = _grouped(args[0], size)
        weight = _grouped(weight_of(module), size)
        products = torch.einsum("ogs,ogt->gst", weight, weight)
        squares = torch.einsum("blgs,gst->blgt", inputs, products) * inputs
        seen.append(squares.sum(-1).clamp(min=0).sqrt())

    hook: Callable[..., Any] = gate if kind == "taylor" else lengths
    handles = [layer.register_forward_pre_hook(hook) for layer in layers]
    return _mean(ranker, seen, handles, kind, data)


def block_importance(
    ranker: Ranker, blocks: Sequence[Block], kind: Kind, data: CompressionData
) -> Tensor:
    """Importance of whole blocks: float [blocks].

    The ``activation`` of a block is 1 minus the cosine of the states before and after it
    (ShortGPT, Men et al. 2024).
    """
    seen: list[Tensor] = []

    def gate(module: nn.Module, args: tuple[Tensor, ...], after: Tensor) -> Tensor:
        del module
        before = args[0][:, -after.shape[1] :]
        seen.append(torch.ones(len(after), 1, 1, requires_grad=True))
        return before + seen[-1] * (after - before)

    def turn(module: nn.Module, args: tuple[Tensor, ...], after: Tensor) -> None:
        del module
        before = args[0][:, -after.shape[1] :]
        seen.append(1 - functional.cosine_similarity(before, after, dim=-1).unsqueeze(-1))

    hook: Callable[..., Any] = gate if kind == "taylor" else turn
    handles = [block.register_forward_hook(hook) for block in blocks]
    return torch.cat(_mean(ranker, seen, handles, kind, data))


def strongest(scores: Sequence[Tensor], keep: float, group: int = 1) -> list[Tensor]:
    """Which parts stay when the share ``keep`` of all may: for each block int [kept], ascending.

    Blocks compete: their scores are divided by the block's own length, because gradients are
    not of one scale at all depths (Molchanov et al. 2017). A block keeps a multiple of
    ``group``, at least ``group``, or all parts if it has fewer.
    """
    allowed = int(keep * sum(map(len, scores)) + 1e-6)
    if allowed == sum(map(len, scores)):
        return [torch.arange(len(block)) for block in scores]
    kept = [min(group, len(block)) for block in scores]
    orders = [torch.argsort(block, descending=True, stable=True) for block in scores]
    further: list[tuple[float, int]] = []
    for number, (block, order) in enumerate(zip(scores, orders, strict=True)):
        ranked = (block / block.norm().clamp(min=1e-30))[order]
        starts = range(group, len(block) - group + 1, group)
        further += [(-float(ranked[n : n + group].sum()), number) for n in starts]
    for _, number in sorted(further)[: max(0, allowed - sum(kept)) // group]:
        kept[number] += group
    return [order[:count].sort().values for order, count in zip(orders, kept, strict=True)]


def _grouped(x: Tensor, size: int) -> Tensor:
    return x.reshape(*x.shape[:-1], -1, size)


def _mean(
    ranker: Ranker,
    seen: list[Tensor],
    handles: Sequence[RemovableHandle],
    kind: Kind,
    data: CompressionData,
) -> list[Tensor]:
    """Mean over the calibration rows of what the hooks append to ``seen`` in each run."""
    temperature = data.settings.train.temperature
    totals = [torch.zeros(())] * len(handles)
    try:
        for rows in batches(data.calibration):
            seen.clear()
            if kind == "taylor":
                found = _gradients(ranker, rows, seen, temperature)
            else:
                found = _over_positions(ranker, rows, seen)
            totals = [t + f.sum(0) for t, f in zip(totals, found, strict=True)]
    finally:
        for handle in handles:
            handle.remove()
    return [total / len(data.calibration.history) for total in totals]


def _gradients(ranker: Ranker, rows: Rows, gates: list[Tensor], temperature: float) -> list[Tensor]:
    """Absolute gradient of each row's gates: float [B, groups] each."""
    with torch.enable_grad():
        loss = rows.loss(ranker, temperature)
    return [g.abs().flatten(1) for g in torch.autograd.grad(loss, gates)]


def _over_positions(ranker: Ranker, rows: Rows, values: list[Tensor]) -> list[Tensor]:
    """Mean of the values [B, L, groups] over each row's events: float [B, groups] each."""
    with torch.no_grad():
        rows.scores(ranker)
    found = []
    for value in values:
        real = rows.real[:, -value.shape[1] :].unsqueeze(-1)
        found.append((value * real).sum(1) / real.sum(1))
    return found
