"""The item table in 8-bit integers."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from builders.compress.interface import CompressionData, DoesNotApply, Model
from builders.compress.quantise_items import quantise_items, rounded
from builders.compress.saved import load_model, save_model
from builders.compress.settings import QuantiseItems
from builders.ranker.compact import LowRankEmbedding, RowInt8Embedding


@given(seed=st.integers(0, 2**32), size=st.floats(1e-40, 1e30), rows=st.integers(1, 9))
def test_an_entry_is_off_by_half_a_scale_at_most(seed: int, size: float, rows: int) -> None:
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, 5, generator=random) * size
    weight[0] = 0
    found = rounded(weight)
    assert found.values.dtype == torch.int8
    assert int(found.values.min()) >= -127
    assert bool((found.scale > 0).all())
    assert bool(found.scale.isfinite().all())
    off = (weight.double() - found.values.double() * found.scale.double()).abs()
    assert bool((off <= found.scale.double() * (0.5 + 1e-4)).all())
    assert not found.weight[0].any()


def test_what_is_a_multiple_of_the_scale_stays_exactly() -> None:
    weight = torch.tensor([[127.0, -127.0, 3.0], [0.5, -63.5, 0.0]])
    assert torch.equal(rounded(weight).weight, weight)


def test_the_ranker_keeps_its_scores_and_its_shape(data: CompressionData, teacher: Model) -> None:
    outcome = quantise_items(teacher, QuantiseItems(), data)
    rows = data.validation
    inputs = [torch.from_numpy(x[:8]) for x in (rows.history, rows.candidate, rows.features)]
    with torch.no_grad():
        before, after = teacher.ranker(*inputs), outcome.model.ranker(*inputs)
    assert before.shape == after.shape
    assert 0 < float((before - after).abs().max()) < 0.05
    assert isinstance(teacher.ranker.get_submodule("item"), nn.Embedding)
    assert isinstance(outcome.model.ranker.get_submodule("item"), RowInt8Embedding)
    assert "3,200 -> 900 bytes" in outcome.summary
    save_model(outcome.model, data.work)
    with torch.no_grad():
        assert torch.equal(load_model(data.work).ranker(*inputs), after)


def test_the_narrow_table_of_a_factorised_one(data: CompressionData, teacher: Model) -> None:
    ranker = copy.deepcopy(teacher.ranker)
    ranker.item = narrow = LowRankEmbedding(25, 4, 32)
    found = quantise_items(teacher.with_ranker(ranker), QuantiseItems(), data).model.ranker
    table = found.get_submodule("item")
    assert isinstance(table, LowRankEmbedding)
    assert isinstance(table.table, RowInt8Embedding)
    assert torch.equal(table.up.weight, narrow.up.weight)


def test_twice_does_not_apply(data: CompressionData, teacher: Model) -> None:
    once = quantise_items(teacher, QuantiseItems(), data).model
    with pytest.raises(DoesNotApply, match="in 8-bit integers already"):
        quantise_items(once, QuantiseItems(), data)


def test_a_ranker_without_table_does_not_apply(data: CompressionData, teacher: Model) -> None:
    ranker = copy.deepcopy(teacher.ranker)
    ranker.item = nn.Identity()
    with pytest.raises(DoesNotApply, match="this ranker has none"):
        quantise_items(teacher.with_ranker(ranker), QuantiseItems(), data)
