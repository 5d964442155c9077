"""Dynamic INT8: integer products, close to float; scores depend on the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from builders.compress.gates import gains
from builders.compress.interface import CompressionData, DoesNotApply, Model
from builders.compress.quantise_dynamic import quantise_dynamic, quantise_dynamically
from builders.compress.settings import QuantiseDynamic, QuantiseStatic
from tests.unit.compress.quantised_graph import LAYERS, applied, arrays, outputs, padded, scores

ALL = QuantiseDynamic(sensitivity=1)


def _integer_products(path: Path) -> int:
    return sum(node.op_type == "MatMulInteger" for node in onnx.load(path).graph.node)


pytestmark = pytest.mark.usefixtures("exported_once")


def test_close_to_the_float_graph(
    data: CompressionData, teacher: Model, teacher_graph: Path, tmp_path: Path
) -> None:
    outcome = quantise_dynamic(teacher, ALL, data)
    assert outcome.summary == "15 of 15 layers in INT8"
    assert list(outcome.layers) == LAYERS
    found = applied(outcome.model, teacher_graph, data, tmp_path / "dynamic.onnx")
    assert _integer_products(found) == len(LAYERS)
    before, after = (scores(path, data.validation, alone=True) for path in (teacher_graph, found))
    assert 0 < np.abs(before - after).max() < 0.15 * np.std(before)
    assert gains(after, data.validation).mean() == pytest.approx(
        gains(before, data.validation).mean(), rel=0.01
    )
    assert np.isfinite(scores(found, padded(data.validation))).all()
    integers = {name: a for name, a in arrays(found).items() if name.endswith("_quantized")}
    assert {a.dtype for a in integers.values()} == {np.dtype(np.int8)}


def test_what_is_named_stays_in_float(
    data: CompressionData, teacher_graph: Path, tmp_path: Path
) -> None:
    target = tmp_path / "dynamic.onnx"
    settings = QuantiseDynamic(keep_float=("blocks.0", "blocks.2.narrow"))
    quantise_dynamically(settings, teacher_graph, target, data)
    kept = {n for n in LAYERS if n.startswith("blocks.0.") or n == "blocks.2.narrow"}
    assert set(outputs(target)) == kept
    assert _integer_products(target) == len(LAYERS) - len(kept)


def test_nothing_is_printed(
    data: CompressionData,
    teacher_graph: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    quantise_dynamically(ALL, teacher_graph, tmp_path / "dynamic.onnx", data)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_all_in_float_is_the_graph_as_it_was(
    data: CompressionData, teacher_graph: Path, tmp_path: Path
) -> None:
    target = tmp_path / "dynamic.onnx"
    quantise_dynamically(QuantiseDynamic(keep_float=("blocks",)), teacher_graph, target, data)
    assert onnx.load(teacher_graph) == onnx.load(target)


def test_only_a_float_graph_is_quantised(data: CompressionData, teacher: Model) -> None:
    with pytest.raises(DoesNotApply, match="its graph has passed quantise_static"):
        quantise_dynamic(teacher.with_graph_pass(QuantiseStatic()), ALL, data)
