"""Low rank: exact where the layers are of low rank, within the budget, never done twice."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from builders.compress.factorise import factorise
from builders.compress.interface import CompressionData, DoesNotApply, Model
from builders.compress.rank_budget import Spectrum, choose_ranks
from builders.compress.settings import Factorise
from builders.ranker.compact import LowRankEmbedding, LowRankLinear
from builders.ranker.interface import Ranker
from builders.ranker.registry import build_ranker
from builders.ranker.tied import TiedRanker

LAYERS = ("query", "key_value", "merge", "widen", "narrow")


@torch.no_grad()
def scores(ranker: Ranker, data: CompressionData) -> Tensor:
    rows = data.validation
    found: Tensor = ranker(
        *(torch.from_numpy(a) for a in (rows.history, rows.candidate, rows.features))
    )
    return found


@torch.no_grad()
def of_rank(weight: Tensor, rank: int) -> None:
    torch.manual_seed(0)
    rows, columns = weight.shape
    product = torch.randn(rows, rank).double() @ torch.randn(rank, columns).double()
    weight.copy_(product * 0.1)


def test_rank_one_is_exact(teacher: Model, data: CompressionData) -> None:
    ranker: Any = copy.deepcopy(teacher.ranker)
    for block in ranker.blocks:
        for name in LAYERS:
            of_rank(getattr(block, name).weight, 1)
    of_rank(ranker.item.weight, 1)
    model = teacher.with_ranker(ranker)
    outcome = factorise(model, Factorise(keep=0.2, items=True), data)
    assert set(outcome.layers.values()) == {1}
    found: Any = outcome.model.ranker
    for block, small in zip(ranker.blocks, found.blocks, strict=True):
        for name in LAYERS:
            whole, pair = getattr(block, name), getattr(small, name)
            product = pair.up.weight @ pair.down.weight
            torch.testing.assert_close(product, whole.weight, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(pair.up.bias, whole.bias, rtol=0, atol=0)
    torch.testing.assert_close(found.item.weight, ranker.item.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scores(found, data), scores(ranker, data), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("items", [False, True])
def test_within_the_budget(teacher: Model, data: CompressionData, keep: float, items: bool) -> None:
    outcome = factorise(teacher, Factorise(keep=keep, items=items), data)
    before, after = _sizes(teacher.ranker, items), _sizes(outcome.model.ranker, items)
    assert 0.6 * keep < after / before <= keep
    for path, rank in outcome.layers.items():
        layer = outcome.model.ranker.get_submodule(path)
        assert isinstance(layer, (LowRankLinear, LowRankEmbedding))
        assert layer.up.in_features == rank
    assert items or "item" not in outcome.layers
    assert not any(path.startswith("head") for path in outcome.layers)


def _sizes(ranker: Any, items: bool) -> int:
    weights = [p for n, p in ranker.blocks.named_parameters() if p.dim() == 2]
    weights += [p for p in ranker.item.parameters() if items]
    return sum(w.numel() for w in weights)


def test_no_plain_svd_of_the_same_rank_is_closer_on_the_calibration_rows(
    teacher: Model, data: CompressionData
) -> None:
    outcome = factorise(teacher, Factorise(keep=0.4), data)
    rows, layer = data.calibration, "blocks.0.widen"
    inputs: list[Tensor] = []
    wide: Any = teacher.ranker.get_submodule(layer)
    handle = wide.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.no_grad():
        teacher.ranker.encode(torch.from_numpy(rows.history))
    handle.remove()
    x = inputs[0][torch.from_numpy(rows.history != 0)]
    pair: Any = outcome.model.ranker.get_submodule(layer)
    rank = int(outcome.layers[layer])
    left, singular, right = torch.linalg.svd(wide.weight.detach(), full_matrices=False)
    plain = (left[:, :rank] * singular[:rank]) @ right[:rank]
    ours = (pair.up.weight @ pair.down.weight).detach()
    lost = [float((x @ (w - wide.weight.detach()).T).square().sum()) for w in (ours, plain)]
    assert lost[0] < lost[1]


def test_never_twice(teacher: Model, data: CompressionData) -> None:
    once = factorise(teacher, Factorise(keep=0.01, items=True), data).model
    with pytest.raises(DoesNotApply, match="no linear layer"):
        factorise(once, Factorise(keep=0.01, items=True), data)


class OwnLayers(Ranker):
    """Linear layers of every sort beside an embedding that is no item table of ours."""

    def __init__(self, items: int, history: int, settings: Any) -> None:
        super().__init__(settings.hybrid)
        self.item = nn.Embedding(items + 1, settings.width)
        self.inner = nn.Sequential(nn.Linear(settings.width, 40, bias=False), nn.GELU())
        self.out = nn.Linear(40, settings.width)
        self.unused = nn.Linear(40, 40)
        self.mixing = nn.MultiheadAttention(settings.width, 2, batch_first=True)

    def encode(self, history: Tensor) -> Tensor:
        read = self.item(history)
        causal = torch.ones(read.shape[1], read.shape[1]).triu(1).bool()
        mixed, _ = self.mixing(read, read, read, attn_mask=causal, need_weights=False)
        states: Tensor = self.out(self.inner(mixed))
        return states

    def item_vectors(self) -> Tensor:
        return self.item.weight


def test_layers_of_a_class_of_ones_own(teacher: Model, data: CompressionData) -> None:
    torch.manual_seed(0)
    own = OwnLayers(data.dataset.items, teacher.saved.history, data.settings.ranker).eval()
    outcome = factorise(teacher.with_ranker(own), Factorise(keep=0.5, items=True), data)
    assert set(outcome.layers) == {"inner.0", "out"}
    assert scores(outcome.model.ranker, data).isfinite().all()


@pytest.mark.parametrize("items", [False, True])
def test_a_ranker_without_linear_layers(teacher: Model, data: CompressionData, items: bool) -> None:
    shape = data.settings.ranker.model_copy(update={"kind": "lstm"})
    lstm = build_ranker(data.dataset.items, teacher.saved.history, shape).eval()
    model = teacher.with_ranker(lstm)
    if not items:
        with pytest.raises(DoesNotApply, match="LSTMRanker has no linear layer"):
            factorise(model, Factorise(keep=0.5), data)
        return
    outcome = factorise(model, Factorise(keep=0.5, items=True), data)
    assert list(outcome.layers) == ["item"]
    assert isinstance(outcome.model.ranker, TiedRanker)
    assert isinstance(outcome.model.ranker.item, LowRankEmbedding)
    assert scores(outcome.model.ranker, data).isfinite().all()


def _spectrum(shape: tuple[int, int], seed: int) -> Spectrum:
    rng = np.random.default_rng(seed)
    singular = np.sort(rng.random(min(shape)) ** rng.integers(1, 9))[::-1]
    return Spectrum(*shape, singular**2)


sides = st.integers(1, 24)
layers = st.lists(st.builds(_spectrum, st.tuples(sides, sides), st.integers(0, 99)), max_size=5)


@given(layers=layers, share=st.floats(0, 1), more=st.floats(0, 1))
def test_ranks_keep_the_budget(layers: list[Spectrum], share: float, more: float) -> None:
    whole = sum(layer.whole for layer in layers)
    least = sum(min(layer.cost(1), layer.whole) for layer in layers)
    ranks = choose_ranks(layers, int(share * whole))
    costs = [layer.cost(rank) for layer, rank in zip(layers, ranks, strict=True)]
    assert sum(costs) <= max(int(share * whole), least)
    for layer, rank, cost in zip(layers, ranks, costs, strict=True):
        assert rank is None or 1 <= rank <= min(layer.outputs, layer.inputs)
        assert rank is None or cost < layer.whole
        assert rank is None or rank < 8 or rank % 8 == 0
    higher = choose_ranks(layers, int(max(share, more) * whole))
    for layer, rank, cost in zip(layers, higher, costs, strict=True):
        assert layer.cost(rank) >= cost


def test_a_full_budget_changes_nothing() -> None:
    layers = [_spectrum((8, 8), n) for n in range(3)]
    assert choose_ranks(layers, 3 * 64) == [None, None, None]


def test_what_loses_nothing_goes_first() -> None:
    low = Spectrum(10, 10, np.array([5.0] + [0.0] * 9))
    flat = Spectrum(10, 10, np.ones(10))
    assert choose_ranks([flat, low], 120) == [None, 1]
    silent = Spectrum(10, 10, np.zeros(10))
    assert choose_ranks([silent, flat], 120) == [1, None]
