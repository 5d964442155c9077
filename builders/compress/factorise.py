"""Linear layers, and the item table, as products of two narrow matrices."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.rank_budget import Spectrum, choose_ranks
from builders.compress.ranking_loss import batches
from builders.compress.settings import Factorise
from builders.ranker.compact import LowRankEmbedding, LowRankLinear, replace_module
from builders.ranker.interface import Ranker
from builders.ranker.tied import TiedRanker

_ITEMS = "item"
_RIDGE = 1e-6
_CLOSED = (
    LowRankLinear,
    LowRankEmbedding,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
"""Modules whose linear layers stay: low rank already, or read by name in PyTorch's own code."""


@dataclass(frozen=True)
class Factors:
    """The directions of a layer's output, the strongest first.

    ``up`` [out, r] times ``down`` [r, in], cut at any rank, is the best matrix of that rank for
    the rows that were seen.
    """

    up: Tensor
    down: Tensor
    spectrum: Spectrum


def factorise(model: Model, settings: Factorise, data: CompressionData) -> Outcome:
    """Activation-aware SVD (SVD-LLM, Wang et al. 2024), ranks spread over the layers.

    All linear layers but those of the head; ``settings.keep`` is the share of their parameters
    (and of the item table's, with ``settings.items``) that stays. A layer for which low rank
    saves nothing stays whole.

    Raises:
        DoesNotApply: there is no layer that low rank would make smaller.
    """
    ranker = copy.deepcopy(model.ranker)
    factors = _factors(ranker, data, items=settings.items)
    spectra = [f.spectrum for f in factors.values()]
    whole = sum(s.whole for s in spectra)
    ranks = choose_ranks(spectra, int(settings.keep * whole))
    chosen = {path: rank for path, rank in zip(factors, ranks, strict=True) if rank is not None}
    if not chosen:
        raise DoesNotApply(
            f"{type(ranker).__name__} has no linear layer that low rank would make smaller"
        )
    for path, rank in chosen.items():
        replace_module(ranker, path, _low_rank(ranker.get_submodule(path), factors[path], rank))
    left = sum(s.cost(rank) for s, rank in zip(spectra, ranks, strict=True))
    return Outcome(
        model.with_ranker(ranker),
        f"{len(chosen)} of {len(factors)} layers to low rank, {whole:,} parameters to {left:,}",
        "ranks",
        {path: float(rank) for path, rank in chosen.items()},
    )


@torch.no_grad()
def _factors(ranker: Ranker, data: CompressionData, *, items: bool) -> dict[str, Factors]:
    found = {}
    for path, moment in _input_moments(ranker, data).items():
        weight = ranker.get_submodule(path).get_parameter("weight").double()
        # A ridge keeps directions that the calibration rows happen not to have, and stands
        # above the rounding of float32 products.
        ridge = _RIDGE * float(moment.norm()) + 1e-30
        root = torch.linalg.cholesky(moment + ridge * torch.eye(len(moment)).double())
        found[path] = _split(weight, weight @ root)
    table = getattr(ranker, _ITEMS, None)
    if items and isinstance(ranker, TiedRanker) and type(table) is nn.Embedding:
        weight = table.weight.double().T
        found[_ITEMS] = _split(weight, weight * _frequency(data).sqrt())
    return found


def _split(weight: Tensor, seen: Tensor) -> Factors:
    """Factors of ``weight`` [out, in]; ``seen`` is the same times a root of the inputs' moment.

    Cut at rank r, U U' weight has the rows' output of the truncated SVD U S V' of ``seen``, and
    no matrix of rank r comes closer to the whole output; the root need not be inverted.
    """
    left, singular, _ = torch.linalg.svd(seen, full_matrices=False)
    # The strength of a direction is shared by both, so that neither has columns or rows of
    # very different size, which quantisation would not stand.
    scale = singular.clamp(min=1e-9 * float(singular[0]) + 1e-30).sqrt()
    spectrum = Spectrum(len(weight), weight.shape[1], singular.square().numpy())
    return Factors(left * scale, (left / scale).T @ weight, spectrum)


def _input_moments(ranker: Ranker, data: CompressionData) -> dict[str, Tensor]:
    """Second moments of what linear layers are given, real positions only: float64 [in, in]."""
    moments: dict[str, Tensor] = {}
    real = torch.ones(0, 0, dtype=torch.bool)

    def watch(path: str, inputs: Tensor) -> None:
        newest = real[:, -inputs.shape[1] :]
        by_event = inputs.dim() == 3 and newest.shape == inputs.shape[:2]
        rows = inputs[newest] if by_event else inputs.flatten(0, -2)
        moment = (rows.T @ rows).double()
        moments[path] = moments[path] + moment if path in moments else moment

    handles = [
        layer.register_forward_pre_hook(lambda _, args, path=path: watch(path, args[0]))
        for path, layer in _linear_layers(ranker).items()
    ]
    for rows in batches(data.calibration):
        real = rows.real
        rows.scores(ranker)
    for handle in handles:
        handle.remove()
    return moments


def _linear_layers(ranker: Ranker) -> Mapping[str, nn.Linear]:
    """By path, those that may be replaced; subclasses of ``nn.Linear`` may do something else."""
    modules = dict(ranker.named_modules())
    return {
        path: module
        for path, module in modules.items()
        if type(module) is nn.Linear
        and not path.startswith("head.")
        and not isinstance(modules[path.rpartition(".")[0]], _CLOSED)
    }


def _frequency(data: CompressionData) -> Tensor:
    """How often rows of the item table are read, plus 1: float64 [N+1]; row 0 once a user."""
    dataset = data.dataset
    item = dataset.item[dataset.train_mask()]
    count = np.bincount(item, minlength=dataset.items + 1) + 1.0
    count[0] = len(dataset.user_ids)
    return torch.from_numpy(count)


@torch.no_grad()
def _low_rank(layer: nn.Module, factors: Factors, rank: int) -> nn.Module:
    up, down = factors.up[:, :rank].float(), factors.down[:rank].float()
    if isinstance(layer, nn.Linear):
        linear = LowRankLinear(down.shape[1], rank, len(up), bias=layer.bias is not None)
        linear.down.weight.copy_(down)
        linear.up.weight.copy_(up)
        if layer.bias is not None:
            linear.up.bias.copy_(layer.bias)
        return linear
    table = LowRankEmbedding(down.shape[1], rank, len(up))
    table.table.get_parameter("weight").copy_(down.T)
    table.up.weight.copy_(up)
    return table
