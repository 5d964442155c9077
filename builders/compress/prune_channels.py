"""Take out the feed-forward channels that matter least; the matrices become smaller."""

from __future__ import annotations

import copy

from builders.compress.importance import blocks_of, group_importance, strongest
from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.settings import PruneChannels
from builders.compress.slices import keep_inputs, keep_outputs

_MULTIPLE = 8
"""Matrix kernels, and INT8 ones above all, are slower at other widths."""


def prune_channels(model: Model, settings: PruneChannels, data: CompressionData) -> Outcome:
    """Keep the share ``settings.keep`` of all channels, a multiple of 8 in every block.

    Raises:
        DoesNotApply: the ranker is no transformer, or no channel can go.
    """
    ranker = copy.deepcopy(model.ranker)
    blocks = blocks_of(ranker)
    outlets = [block.narrow for block in blocks]
    scores = group_importance(ranker, outlets, 1, settings.importance, data)
    kept = strongest(scores, settings.keep, _MULTIPLE)
    before, after = sum(map(len, scores)), sum(map(len, kept))
    if before == after:
        raise DoesNotApply(
            f"none of {before} feed-forward channels in {len(blocks)} blocks can go at keep = "
            f"{settings.keep:g}; every block keeps a multiple of {_MULTIPLE}"
        )
    for block, channels in zip(blocks, kept, strict=True):
        keep_outputs(block.widen, channels)
        keep_inputs(block.narrow, channels)
    return Outcome(
        model.with_ranker(ranker),
        f"{before} feed-forward channels to {after}",
        "feed-forward channels left",
        {f"blocks.{number}.widen": float(len(block)) for number, block in enumerate(kept)},
    )
