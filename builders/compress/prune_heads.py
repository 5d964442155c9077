"""Take out the attention heads that matter least; the matrices become smaller."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from builders.compress.importance import blocks_of, group_importance, strongest
from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.settings import PruneHeads
from builders.compress.slices import keep_inputs, keep_outputs
from builders.ranker.transformer import Block


def prune_heads(model: Model, settings: PruneHeads, data: CompressionData) -> Outcome:
    """Keep the share ``settings.keep`` of all heads (Michel et al. 2019), one a block at least.

    Raises:
        DoesNotApply: the ranker is no transformer, or no head can go.
    """
    ranker = copy.deepcopy(model.ranker)
    blocks = blocks_of(ranker)
    outlets, width = [block.merge for block in blocks], blocks[0].head_width
    scores = group_importance(ranker, outlets, width, settings.importance, data)
    kept = strongest(scores, settings.keep)
    before, after = sum(map(len, scores)), sum(map(len, kept))
    if before == after:
        raise DoesNotApply(
            f"none of {before} attention heads in {len(blocks)} blocks can go at keep = "
            f"{settings.keep:g}; every block keeps one"
        )
    for block, block_scores, heads in zip(blocks, scores, kept, strict=True):
        _keep_heads(block, len(block_scores), heads)
    return Outcome(
        model.with_ranker(ranker),
        f"{before} attention heads to {after}",
        f"importance of heads ({settings.importance}), counted from 0",
        {
            f"block {b} head {h}": float(score)
            for b, block_scores in enumerate(scores)
            for h, score in enumerate(block_scores)
        },
    )


def _keep_heads(block: Block, count: int, heads: Tensor) -> None:
    width = block.head_width
    rows = (heads[:, None] * width + torch.arange(width)).flatten()
    keep_outputs(block.query, rows)
    # All keys stand first, all values behind them.
    keep_outputs(block.key_value, torch.cat([rows, rows + count * width]))
    keep_inputs(block.merge, rows)
