"""Take out the blocks that matter least."""

from __future__ import annotations

import copy

import torch
from torch import nn

from builders.compress.importance import block_importance, blocks_of
from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.settings import PruneLayers


def prune_layers(model: Model, settings: PruneLayers, data: CompressionData) -> Outcome:
    """Keep the ``settings.keep`` most important blocks, in their order.

    Raises:
        DoesNotApply: the ranker is no transformer, or has no more blocks than may stay.
    """
    ranker = copy.deepcopy(model.ranker)
    blocks = blocks_of(ranker)
    if settings.keep >= len(blocks):
        raise DoesNotApply(f"{len(blocks)} blocks, of which {settings.keep} may stay")
    scores = block_importance(ranker, blocks, settings.importance, data)
    order = torch.argsort(scores, descending=True, stable=True)
    kept = order[: settings.keep].sort().values.tolist()
    ranker.blocks = nn.ModuleList(blocks[number] for number in kept)
    return Outcome(
        model.with_ranker(ranker),
        f"{len(blocks)} blocks to {len(kept)}: " + ", ".join(map(str, kept)),
        f"importance of blocks ({settings.importance}), counted from 0",
        {f"block {number}": float(score) for number, score in enumerate(scores)},
    )
