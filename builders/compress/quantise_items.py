"""The item table in 8-bit integers, one scale a row."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.settings import QuantiseItems
from builders.ranker.compact import (
    LowRankEmbedding,
    RowInt8Embedding,
    replace_module,
)

_TABLE = "item"
_LARGEST = 127


def quantise_items(model: Model, settings: QuantiseItems, data: CompressionData) -> Outcome:
    """Replace the item table, or the narrow one of a factorised table.

    Raises:
        DoesNotApply: the ranker has no item table, or it is in integers already.
    """
    del settings, data
    ranker = copy.deepcopy(model.ranker)
    path, table = _float_table(ranker)
    quantised = rounded(table.weight.detach())
    replace_module(ranker, path, quantised)
    rows, width = table.weight.shape
    before = table.weight.numel() * table.weight.element_size()
    after = rows * (width + quantised.scale.element_size())
    return Outcome(
        model.with_ranker(ranker),
        f"item table of {rows} rows, {width} wide: {before:,} -> {after:,} bytes",
    )


def rounded(weight: Tensor) -> RowInt8Embedding:
    """Rows float [N, D] as integers -127..127 times one positive scale each.

    An entry is off by half a scale at most.
    """
    largest = weight.abs().amax(1, keepdim=True)
    # A row of zeros, or nearly, would have a scale that cannot be divided by.
    tiny = torch.finfo(weight.dtype).tiny * _LARGEST
    scale = torch.where(largest > tiny, largest / _LARGEST, 1.0)
    found = RowInt8Embedding(*weight.shape)
    found.values.copy_((weight / scale).round().clamp(-_LARGEST, _LARGEST))
    found.scale.copy_(scale)
    return found


def _float_table(ranker: nn.Module) -> tuple[str, nn.Embedding]:
    path, table = _TABLE, getattr(ranker, _TABLE, None)
    if isinstance(table, LowRankEmbedding):
        path, table = f"{_TABLE}.table", table.table
    if isinstance(table, RowInt8Embedding):
        raise DoesNotApply("the item table is in 8-bit integers already")
    if not isinstance(table, nn.Embedding):
        raise DoesNotApply(
            f"quantise_items reads an embedding named {_TABLE!r}; this ranker has none"
        )
    return path, table
