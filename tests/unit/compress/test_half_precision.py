"""FP16: the same inputs and outputs, finite at the edges, scores computed in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from builders.compress.gates import gains
from builders.compress.half_precision import LOWEST, half_precision, to_half_precision
from builders.compress.interface import CompressionData, DoesNotApply, Model
from builders.compress.settings import HalfPrecision, QuantiseDynamic
from builders.export.item_lookup import export_ranker
from builders.ranker.registry import build_ranker
from builders.ranker.transformer import HIDDEN
from tests.unit.compress.quantised_graph import arrays, padded, scores


@pytest.fixture(scope="module")
def half(
    trained: CompressionData, teacher_graph: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    target = tmp_path_factory.mktemp("half") / "half.onnx"
    to_half_precision(HalfPrecision(), teacher_graph, target, trained)
    return target


def test_close_to_the_float_graph(data: CompressionData, teacher_graph: Path, half: Path) -> None:
    before, after = (scores(path, data.validation) for path in (teacher_graph, half))
    assert 0 < np.abs(before - after).max() < 5e-3
    np.testing.assert_array_equal(gains(before, data.validation), gains(after, data.validation))
    assert half.stat().st_size < 0.8 * teacher_graph.stat().st_size


def test_finite_without_history_and_at_missing_candidates(
    data: CompressionData, teacher_graph: Path, half: Path
) -> None:
    rows = padded(data.validation)
    before, after = (scores(path, rows) for path in (teacher_graph, half))
    np.testing.assert_allclose(after, before, atol=5e-3)


def test_the_contract_of_the_step_is_kept(
    data: CompressionData, teacher_graph: Path, half: Path
) -> None:
    graphs = [onnx.load(path).graph for path in (teacher_graph, half)]
    described = [
        {t.name: t.type.tensor_type.elem_type for t in [*g.input, *g.output]} for g in graphs
    ]
    assert described[0] == described[1]
    assert described[0]["logit"] == TensorProto.FLOAT


def test_weights_are_halved_and_within_range(
    data: CompressionData, teacher_graph: Path, half: Path
) -> None:
    before, after = (arrays(path) for path in (teacher_graph, half))
    wide = [n for n, a in after.items() if a.dtype == np.float32 and a.ndim == 2]
    # The hybrid head's: scores are computed in float32.
    assert sorted(after[n].shape for n in wide) == [(5, 16), (16, 1)]
    low = [a for a in after.values() if a.dtype == np.float16]
    assert all((np.abs(a) <= LOWEST).all() for a in low)
    assert min(float(a.min()) for a in low if a.size) == HIDDEN
    assert sum(a.dtype == np.float32 and a.ndim == 2 for a in before.values()) > len(wide)


def test_numbers_that_half_precision_cannot_hold_are_cut(
    trained: CompressionData, teacher_graph: Path, tmp_path: Path
) -> None:
    model = onnx.load(teacher_graph)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.size == 1 and array.dtype == np.float32 and array.min() == HIDDEN:
            lowest = np.full_like(array, np.finfo(np.float32).min)
            tensor.CopyFrom(onnx.numpy_helper.from_array(lowest, tensor.name))
    source, target = tmp_path / "lowest.onnx", tmp_path / "half.onnx"
    onnx.save(model, source)
    to_half_precision(HalfPrecision(), source, target, trained)
    low = [a for a in arrays(target).values() if a.dtype == np.float16 and a.size]
    assert min(float(a.min()) for a in low) == -LOWEST


def test_scores_are_not_rounded_to_half(
    data: CompressionData, teacher_graph: Path, half: Path
) -> None:
    found = scores(half, data.validation)
    assert (found != found.astype(np.float16)).mean() > 0.9
    graph = onnx.load(half).graph
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT:
            before = made.get(node.input[0])
            assert before is None or before.op_type != "Cast"


def test_an_lstm(data: CompressionData, tmp_path: Path) -> None:
    settings = data.teacher.settings.model_copy(update={"kind": "lstm", "layers": 1})
    ranker = build_ranker(len(data.teacher.item_ids) - 1, data.teacher.history, settings).eval()
    plain = export_ranker(ranker, data.teacher.history, tmp_path, data.settings.export)
    half = tmp_path / "half.onnx"
    to_half_precision(HalfPrecision(), plain, half, data)
    before, after = (scores(path, padded(data.validation)) for path in (plain, half))
    np.testing.assert_allclose(after, before, atol=5e-3)


def test_the_pass_adds_itself(data: CompressionData, teacher: Model) -> None:
    outcome = half_precision(teacher, HalfPrecision(), data)
    assert outcome.model.graph_passes == (HalfPrecision(),)
    assert teacher.graph_passes == ()


def test_only_a_float_graph_is_halved(data: CompressionData, teacher: Model) -> None:
    with pytest.raises(DoesNotApply, match="its graph has passed quantise_dynamic"):
        half_precision(teacher.with_graph_pass(QuantiseDynamic()), HalfPrecision(), data)
