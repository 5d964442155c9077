"""Distillation: what students learn, and what stays as it was."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from builders.compress.distil import distil, projected, recover
from builders.compress.interface import CompressionData, DoesNotApply, Model
from builders.compress.quantise_items import quantise_items
from builders.compress.saved import load_model, save_model
from builders.compress.settings import Distil, QuantiseDynamic, QuantiseItems
from builders.evaluation.metrics import Metrics
from builders.evaluation.ranking import full_ranks
from builders.ranker.compact import LowRankLinear, replace_module
from builders.ranker.scoring import SequenceScorer, scores
from builders.ranker.settings import Ranker
from tests.unit.ranker.tiny_log import ITEMS, dataset_of

NARROW = Ranker(width=16, layers=1, heads=2, dropout=0.0)


def ndcg10(model: Model, data: CompressionData) -> float:
    scorer = SequenceScorer(model.ranker, data.dataset, model.saved.history)
    return Metrics.of(full_ranks(scorer, data.dataset, "validation")).ndcg10


def state_of(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.ranker.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_a_small_student_ranks_like_its_teacher_without_any_label(
    data: CompressionData, teacher: Model
) -> None:
    settings = Distil(
        student=NARROW, epochs=8, patience=8, learning_rate=0.02, label_weight=0.0, temperature=0.1
    )
    outcome = distil(teacher, settings, data)
    assert ndcg10(teacher, data) > 0.9
    assert ndcg10(outcome.model, data) > 0.9
    assert outcome.model.saved.settings == NARROW
    assert not outcome.model.ranker.training
    assert "1 layers, width 16" in outcome.summary
    save_model(outcome.model, data.work)
    assert same(state_of(load_model(data.work)), state_of(outcome.model))


def test_a_transformer_teaches_an_lstm(data: CompressionData, teacher: Model) -> None:
    shape = Ranker(kind="lstm", width=32, layers=1, dropout=0.0, hybrid=False)
    settings = Distil(student=shape, epochs=8, patience=8, learning_rate=0.02)
    outcome = distil(teacher, settings, data)
    assert ndcg10(outcome.model, data) > 0.9
    assert outcome.model.ranker.head is None


def test_what_came_in_is_unchanged_and_two_runs_are_equal(
    data: CompressionData, teacher: Model
) -> None:
    before = state_of(teacher)
    settings = Distil(epochs=1)
    runs = [
        distil(teacher, settings, replace(data, work=data.work / name)).model
        for name in ("one", "two")
    ]
    assert same(state_of(teacher), before)
    assert same(*(state_of(run) for run in runs))
    assert not same(state_of(runs[0]), before)


def test_training_goes_on_after_a_kill(data: CompressionData, teacher: Model) -> None:
    settings = Distil(student=NARROW, epochs=3, patience=3)
    whole = distil(teacher, settings, replace(data, work=data.work / "whole")).model
    killed = replace(data, work=data.work / "killed")
    lines: list[str] = []

    def log(line: str) -> None:
        lines.append(line)
        if line.startswith("epoch 3"):
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        distil(teacher, settings, replace(killed, log=log))
    again = distil(teacher, settings, replace(killed, log=lines.append)).model
    assert "training goes on from its last finished epoch" in lines
    assert same(state_of(again), state_of(whole))


def test_a_factorised_ranker_recovers(data: CompressionData, teacher: Model) -> None:
    model = teacher.with_ranker(copy.deepcopy(teacher.ranker))
    replace_module(model.ranker, "blocks.0.widen", LowRankLinear(32, 4, 128, bias=True))
    recovered = recover(model, data, epochs=4, learning_rate=0.01)
    low_rank = recovered.ranker.get_submodule("blocks.0.widen")
    assert isinstance(low_rank, LowRankLinear)
    assert low_rank.down.weight.shape == (4, 32)
    assert ndcg10(recovered, data) > ndcg10(model, data)
    assert not recovered.ranker.training


def test_a_table_in_integers_recovers_but_is_not_distilled(
    data: CompressionData, teacher: Model
) -> None:
    model = quantise_items(teacher, QuantiseItems(), data).model
    with pytest.raises(DoesNotApply, match="put distil before quantise_items"):
        distil(model, Distil(), data)
    recovered = recover(model, data, epochs=1, learning_rate=1e-3)
    before, after = state_of(model), state_of(recovered)
    assert torch.equal(before["item.values"], after["item.values"])
    assert not torch.equal(before["blocks.0.widen.weight"], after["blocks.0.widen.weight"])


def _fused(data: CompressionData) -> CompressionData:
    shape = data.settings.ranker.model_copy(update={"fuse": ("text",)})
    return replace(data, settings=data.settings.model_copy(update={"ranker": shape}))


def test_a_student_learns_from_its_teacher_where_items_without_events_are(
    data: CompressionData, teacher: Model
) -> None:
    log = data.dataset
    spans = itertools.pairwise(log.offsets)
    without = dataset_of([[n for n in log.item[a:b] if n != ITEMS] for a, b in spans])
    settings = Distil(student=NARROW, epochs=8, patience=8, learning_rate=0.02)
    student = distil(teacher, settings, replace(_fused(data), dataset=without)).model
    following = np.array([[ITEMS - 3, ITEMS - 2, ITEMS - 1]], np.int32)
    for model in (teacher, student):
        assert scores(model.ranker, following)[0, 1:].argmax() + 1 == ITEMS


def test_labels_alone_do_not_teach_a_student_of_a_fused_ranker(
    data: CompressionData, teacher: Model
) -> None:
    with pytest.raises(DoesNotApply, match="set label_weight below 1"):
        distil(teacher, Distil(label_weight=1), _fused(data))


def test_graph_passes_stay(data: CompressionData, teacher: Model) -> None:
    model = teacher.with_graph_pass(QuantiseDynamic())
    assert distil(model, Distil(epochs=1), data).model.graph_passes == model.graph_passes
    assert recover(model, data, 1, 1e-3).graph_passes == model.graph_passes


def test_projection_keeps_scalar_products_that_fit_the_width() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(30, 3) @ torch.randn(3, 16)
    for width in (3, 8, 24):
        table = 0.02 * torch.randn(30, width)
        found = projected(vectors, table)
        assert found.shape == table.shape
        if width == 3:
            wanted = vectors @ vectors.T
            ratio = (found @ found.T / wanted).flatten()
            torch.testing.assert_close(ratio, ratio.mean().expand(900), rtol=1e-3, atol=0)
            assert float(found.std()) == pytest.approx(float(table.std()), rel=1e-4)
