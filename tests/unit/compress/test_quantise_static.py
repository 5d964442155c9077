"""Static INT8: a graph that both runtimes take, close to the float one, sensitive layers left."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from builders.compress.calibration import BINS, Histogram
from builders.compress.gates import gains
from builders.compress.interface import CompressionData, DoesNotApply, Model
from builders.compress.quantisable import layers
from builders.compress.quantise_static import quantise_static, quantise_statically
from builders.compress.quantised_nodes import add_nodes, integers
from builders.compress.settings import HalfPrecision, QuantiseStatic
from builders.export.verify import open_session
from builders.ranker.registry import build_ranker
from ensembles.errors import BuildError
from tests.unit.compress.quantised_graph import (
    LAYERS,
    applied,
    arrays,
    dequantised,
    outputs,
    padded,
    scores,
)

ALL = QuantiseStatic(sensitivity=1)

pytestmark = pytest.mark.usefixtures("exported_once")


@pytest.fixture
def plain(teacher_graph: Path, tmp_path: Path) -> Path:
    """The teacher's float graph."""
    return Path(shutil.copy(teacher_graph, tmp_path / "plain.onnx"))


def _quantised(data: CompressionData, plain: Path, settings: QuantiseStatic = ALL) -> Path:
    target = plain.with_name("quantised.onnx")
    quantise_statically(settings, plain, target, data)
    return target


def test_layers_are_named_after_their_modules(plain: Path) -> None:
    assert list(outputs(plain)) == LAYERS


@pytest.mark.parametrize("calibration", ["percentile", "entropy"])
def test_close_to_the_float_graph(data: CompressionData, plain: Path, calibration: str) -> None:
    settings = QuantiseStatic.model_validate({"calibration": calibration})
    found = _quantised(data, plain, settings)
    before, after = (scores(path, data.validation) for path in (plain, found))
    assert 0 < np.abs(before - after).max() < 0.15 * np.std(before)
    assert gains(after, data.validation).mean() == pytest.approx(
        gains(before, data.validation).mean(), rel=0.01
    )
    assert np.isfinite(scores(found, padded(data.validation))).all()


def test_every_layer_has_symmetric_integers_on_both_sides(
    data: CompressionData, plain: Path
) -> None:
    found = _quantised(data, plain)
    stored, first = arrays(found), outputs(plain)
    seen = {node.output[0]: before for node, before in dequantised(found) if before}
    assert set(seen) == set(first.values())
    for left, right in seen.values():
        for node in (left, right):
            scale, zero = (stored[name] for name in node.input[1:])
            assert scale.dtype == np.float32
            assert (scale > 0).all()
            assert np.isfinite(scale).all()
            assert zero.dtype == np.int8
            assert not zero.any()
        weight = stored[right.input[0]]
        assert weight.dtype == np.int8
        assert weight.min() >= -127
        assert (np.abs(weight).max(axis=0) == 127).all()
        assert stored[right.input[1]].shape == (weight.shape[1],)
        assert [a.i for a in right.attribute if a.name == "axis"] == [1]
        assert stored[left.input[1]].shape == ()


def test_no_float_weight_is_left_behind(data: CompressionData, plain: Path) -> None:
    found = _quantised(data, plain)
    wide = {n: a.shape for n, a in arrays(found).items() if a.dtype == np.float32 and a.ndim == 2}
    # The item table, the head's two matrices, and the tables of rotary positions.
    assert sorted(wide.values()) == [(1, 4), (1, 4), (5, 16), (8, 4), (8, 4), (16, 1), (25, 32)]
    assert [o.version for o in onnx.load(found).opset_import if not o.domain] == [18]
    onnx.checker.check_model(onnx.load(found))


def test_a_row_is_scored_the_same_alone_and_in_a_batch(data: CompressionData, plain: Path) -> None:
    found = _quantised(data, plain)
    together, alone = (scores(found, data.validation, alone=a) for a in (False, True))
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_what_is_named_stays_in_float(data: CompressionData, plain: Path) -> None:
    settings = QuantiseStatic(keep_float=("blocks.0", "blocks.1.merge"))
    found = _quantised(data, plain, settings)
    by_output = {output: name for name, output in outputs(plain).items()}
    quantised = [by_output[node.output[0]] for node, before in dequantised(found) if before]
    assert quantised == [
        n for n in LAYERS if not n.startswith("blocks.0.") and n != "blocks.1.merge"
    ]


def test_the_pass_is_deterministic_and_changes_nothing_that_came_in(
    data: CompressionData, teacher: Model, plain: Path, tmp_path: Path
) -> None:
    first, second = (quantise_static(teacher, ALL, data) for _ in range(2))
    assert (first.summary, first.layers) == (second.summary, second.layers)
    assert list(first.layers) == LAYERS
    assert first.summary == "15 of 15 layers in INT8"
    assert all(-1e-9 <= loss < 0.05 for loss in first.layers.values())
    assert teacher.graph_passes == ()
    assert first.model.graph_passes == (ALL,)
    graphs = [
        applied(m.model, plain, data, tmp_path / f"{n}.onnx") for n, m in enumerate((first, second))
    ]
    assert graphs[0].read_bytes() == graphs[1].read_bytes()
    assert list(data.work.glob("*/")) == []


def test_an_lstm_has_no_layer(data: CompressionData) -> None:
    settings = data.teacher.settings.model_copy(update={"kind": "lstm", "layers": 1})
    ranker = build_ranker(len(data.teacher.item_ids) - 1, data.teacher.history, settings)
    saved = replace(data.teacher, ranker=ranker.eval(), settings=settings)
    with pytest.raises(DoesNotApply, match="no matrix product with a weight"):
        quantise_static(Model(saved), ALL, data)


def test_only_a_float_graph_is_quantised(data: CompressionData, teacher: Model) -> None:
    with pytest.raises(DoesNotApply, match="its graph has passed fp16"):
        quantise_static(teacher.with_graph_pass(HalfPrecision()), ALL, data)


def test_a_name_that_no_layer_has(data: CompressionData, teacher: Model) -> None:
    wrong = QuantiseStatic(keep_float=("blocks.1.mergee",))
    with pytest.raises(BuildError, match="no layer of this ranker. Did you mean 'blocks.*merge'"):
        quantise_static(teacher, wrong, data)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_becomes_a_product_and_a_sum(tmp_path: Path, transposed: int) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(6, 4)).astype(np.float32), np.arange(4, dtype=np.float32)
    stored = weight.T.copy() if transposed else weight
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "only", transB=transposed)],
        "hand",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(stored, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    found = layers(model)
    assert list(found) == ["only"]
    x = rng.uniform(-1, 1, (50, 6)).astype(np.float32)
    add_nodes(model, found.values(), {"x": 1.0})
    onnx.save(model, tmp_path / "gemm.onnx")
    (y,) = open_session(tmp_path / "gemm.onnx").run(None, {"x": x})
    np.testing.assert_allclose(y, x @ weight + bias, atol=0.1)


@given(
    arrays_of.arrays(
        np.float32,
        st.tuples(st.integers(1, 8), st.integers(1, 8)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_integers_are_half_a_step_from_the_weight(weight: NDArray[np.float32]) -> None:
    values, scale = integers(weight)
    assert values.dtype == np.int8
    assert np.abs(values.astype(int)).max() <= 127
    assert (scale > 0).all()
    assert (np.abs(values * scale - weight) <= scale * 0.501 + 1e-30).all()


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1), min_size=1))
@example([[2.0**-149]])
def test_a_histogram_loses_nothing_while_it_widens(parts: list[list[float]]) -> None:
    histogram = Histogram()
    for part in parts:
        histogram.add(np.array(part, np.float32))
    everything = np.abs(np.concatenate([np.array(p, np.float32) for p in parts]))
    assert histogram.counts.sum() == everything.size
    assert histogram.peak == everything.max()
    assert histogram.percentile(100) == histogram.peak
    wide = 2 * histogram.peak / BINS
    exact = np.sort(everything)[int(np.ceil(0.9 * everything.size)) - 1]
    assert abs(histogram.percentile(90) - exact) <= wide * 1.01


def test_entropy_gives_up_a_lonely_outlier() -> None:
    histogram = Histogram()
    histogram.add(np.random.default_rng(0).normal(size=200_000).astype(np.float32))
    histogram.add(np.array([40.0], np.float32))
    assert 2 < histogram.entropy() < 12
    assert histogram.percentile(100) == 40
