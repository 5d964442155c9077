"""Pruning: what does nothing goes first, what goes is really gone, and nothing else changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from builders.compress.factorise import factorise
from builders.compress.importance import strongest
from builders.compress.interface import CompressionData, DoesNotApply, Model
from builders.compress.prune_channels import prune_channels
from builders.compress.prune_heads import prune_heads
from builders.compress.prune_layers import prune_layers
from builders.compress.settings import Factorise, PruneChannels, PruneHeads, PruneLayers
from builders.ranker.compact import LowRankLinear
from builders.ranker.registry import build_ranker
from builders.ranker.transformer import Block

kinds = pytest.mark.parametrize("importance", ["taylor", "activation"])
forms = pytest.mark.parametrize("low_rank", [False, True], ids=["whole", "low rank"])


def changed(teacher: Model, data: CompressionData, *, low_rank: bool) -> Model:
    """A copy that a test may write into; with low rank in every block if asked for."""
    if low_rank:
        return factorise(teacher, Factorise(keep=0.6), data).model
    return teacher.with_ranker(copy.deepcopy(teacher.ranker))


def blocks(model: Model) -> Any:
    return model.ranker.blocks


@torch.no_grad()
def scores(model: Model, data: CompressionData) -> Tensor:
    rows = data.validation
    found: Tensor = model.ranker(
        *(torch.from_numpy(a) for a in (rows.history, rows.candidate, rows.features))
    )
    return found


def silence(layer: torch.nn.Module, inputs: slice) -> None:
    """Outputs do not depend on these inputs any more."""
    first = layer.down if isinstance(layer, LowRankLinear) else layer
    with torch.no_grad():
        first.get_parameter("weight")[:, inputs] = 0


@kinds
@forms
def test_a_head_without_output_goes_first(
    teacher: Model, data: CompressionData, importance: str, low_rank: bool
) -> None:
    model = changed(teacher, data, low_rank=low_rank)
    silence(blocks(model)[1].merge, slice(8, 16))
    settings = PruneHeads(keep=11 / 12, importance=importance)
    outcome = prune_heads(model, settings, data)
    assert [_heads(b) for b in blocks(outcome.model)] == [4, 3, 4]
    assert outcome.layers["block 1 head 1"] == 0
    assert min(v for k, v in outcome.layers.items() if k != "block 1 head 1") > 0
    torch.testing.assert_close(scores(outcome.model, data), scores(model, data))
    assert outcome.summary == "12 attention heads to 11"


def _heads(block: Block) -> int:
    first = block.query.up if isinstance(block.query, LowRankLinear) else block.query
    return int(first.out_features) // block.head_width


@kinds
@forms
def test_channels_without_output_go_first(
    teacher: Model, data: CompressionData, importance: str, low_rank: bool
) -> None:
    model = changed(teacher, data, low_rank=low_rank)
    for number, block in enumerate(blocks(model)):
        silence(block.narrow, slice(8 * number, 8 * number + 64))
    outcome = prune_channels(model, PruneChannels(keep=0.5, importance=importance), data)
    assert list(outcome.layers.values()) == [64, 64, 64]
    torch.testing.assert_close(scores(outcome.model, data), scores(model, data))
    assert _size(outcome.model) < _size(model)


@kinds
@forms
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_block_that_adds_nothing_goes_first(
    teacher: Model, data: CompressionData, importance: str, low_rank: bool, number: int
) -> None:
    model = changed(teacher, data, low_rank=low_rank)
    with torch.no_grad():
        for layer in (blocks(model)[number].merge, blocks(model)[number].narrow):
            for parameter in layer.parameters():
                parameter.zero_()
    outcome = prune_layers(model, PruneLayers(keep=2, importance=importance), data)
    assert len(blocks(outcome.model)) == 2
    assert min(outcome.layers, key=lambda name: outcome.layers[name]) == f"block {number}"
    torch.testing.assert_close(scores(outcome.model, data), scores(model, data))


def _size(model: Model) -> int:
    return sum(p.numel() for p in model.ranker.parameters())


def test_pruned_again_and_again(teacher: Model, data: CompressionData) -> None:
    model = prune_heads(teacher, PruneHeads(keep=0.5), data).model
    model = prune_channels(model, PruneChannels(keep=0.5), data).model
    model = factorise(model, Factorise(keep=0.7), data).model
    model = prune_layers(model, PruneLayers(keep=2), data).model
    model = prune_heads(model, PruneHeads(keep=0.01), data).model
    model = prune_channels(model, PruneChannels(keep=0.01), data).model
    assert [_heads(b) for b in blocks(model)] == [1, 1]
    assert scores(model, data).isfinite().all()
    # What a chain trains again afterwards must still be trainable.
    assert all(p.requires_grad and p.is_contiguous() for p in blocks(model).parameters())


@pytest.mark.parametrize(
    ("prune", "settings", "says"),
    [
        (prune_heads, PruneHeads(keep=1), "none of 12 attention heads"),
        (prune_channels, PruneChannels(keep=1), "none of 384 feed-forward channels"),
        (prune_layers, PruneLayers(keep=3), "3 blocks, of which 3 may stay"),
    ],
)
def test_nothing_to_take_out(
    teacher: Model, data: CompressionData, prune: Any, settings: Any, says: str
) -> None:
    with pytest.raises(DoesNotApply, match=says):
        prune(teacher, settings, data)


@pytest.mark.parametrize("kind", ["lstm", "tests.unit.ranker.own_ranker:MeanRanker"])
@pytest.mark.parametrize(
    ("prune", "settings"),
    [
        (prune_heads, PruneHeads()),
        (prune_channels, PruneChannels()),
        (prune_layers, PruneLayers(keep=1)),
    ],
)
def test_rankers_without_blocks(
    teacher: Model, data: CompressionData, prune: Any, settings: Any, kind: str
) -> None:
    shape = data.settings.ranker.model_copy(update={"kind": kind})
    other = build_ranker(data.dataset.items, teacher.saved.history, shape)
    with pytest.raises(DoesNotApply, match="no transformer blocks"):
        prune(teacher.with_ranker(other), settings, data)


def test_measuring_leaves_no_hooks(teacher: Model, data: CompressionData) -> None:
    before = scores(teacher, data)
    model = prune_heads(teacher, PruneHeads(), data).model
    for _, module in [*teacher.ranker.named_modules(), *model.ranker.named_modules()]:
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
    torch.testing.assert_close(scores(teacher, data), before, rtol=0, atol=0)


some_scores = st.lists(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=30).map(torch.tensor), min_size=1, max_size=5
)


@given(parts=some_scores, keep=st.floats(0.01, 1), group=st.sampled_from([1, 4, 8]))
def test_the_strongest_stay(parts: list[Tensor], keep: float, group: int) -> None:
    kept = strongest(parts, keep, group)
    total = sum(map(len, parts))
    least = sum(min(group, len(p)) for p in parts)
    assert sum(map(len, kept)) <= max(keep * total + 1e-3, least)
    for part, index in zip(parts, kept, strict=True):
        assert len(index) == len(part) or len(index) % group == 0
        assert len(index) >= min(group, len(part))
        assert index.tolist() == sorted(set(index.tolist()))
        gone = sorted(set(range(len(part))) - set(index.tolist()))
        if gone:
            assert part[index].min() >= part[gone].max()


def test_blocks_compete_whatever_their_scale() -> None:
    strong, even = torch.tensor([900.0, 1.0, 1.0, 1.0]), torch.tensor([0.1, 0.1, 0.1, 0.1])
    assert [k.tolist() for k in strongest([strong, even], 5 / 8)] == [[0], [0, 1, 2, 3]]
