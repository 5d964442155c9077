"""Multiply-adds and parameters, counted by hand on small graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from builders.compress.operations import operations, parameters
from builders.ranker.registry import build_ranker
from builders.settings import Export
from tests.unit.ranker.tiny_log import settings_of

B, H, C, F = 2, 6, 9, 5


def _save(tmp_path: Path, nodes: list[Any], output: str, **weights: np.ndarray[Any, Any]) -> Path:
    inputs = [
        helper.make_tensor_value_info("history", TensorProto.INT32, ["batch", H]),
        helper.make_tensor_value_info("candidate", TensorProto.INT32, ["batch", "candidates"]),
        helper.make_tensor_value_info(
            "candidate_features", TensorProto.FLOAT, ["batch", "candidates", F]
        ),
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "hand", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.save(model, tmp_path / "hand.onnx")
    return tmp_path / "hand.onnx"


def _zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


def test_products_with_weights_and_between_activations(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "history"], ["read"]),
        helper.make_node("MatMul", ["read", "widen"], ["wide"]),
        helper.make_node("Transpose", ["read"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["read", "turned"], ["scores"]),
        helper.make_node("Gather", ["table", "candidate"], ["items"]),
        helper.make_node("MatMul", ["items", "turned"], ["logit"]),
    ]
    path = _save(tmp_path, nodes, "logit", table=_zeros(20, 4), widen=_zeros(4, 7))
    assert operations(path, H, C) == H * 4 * 7 + H * 4 * H + C * 4 * H
    assert parameters(path) == 20 * 4 + 4 * 7


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(tmp_path: Path, transposed: int) -> None:
    weight = _zeros(3, F) if transposed else _zeros(F, 3)
    nodes = [
        helper.make_node("Reshape", ["candidate_features", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "weight", "bias"], ["logit"], transB=transposed),
    ]
    path = _save(tmp_path, nodes, "logit", flat=np.array([-1, F]), weight=weight, bias=_zeros(3))
    assert operations(path, H, C) == C * F * 3


def test_lstm(tmp_path: Path) -> None:
    width, hidden = 4, 3
    nodes = [
        helper.make_node("Gather", ["table", "history"], ["read"]),
        helper.make_node("Transpose", ["read"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "w", "r"], ["logit"], hidden_size=hidden),
    ]
    weights = {"w": _zeros(1, 4 * hidden, width), "r": _zeros(1, 4 * hidden, hidden)}
    path = _save(tmp_path, nodes, "logit", table=_zeros(20, width), **weights)
    assert operations(path, H, C) == H * 4 * hidden * (width + hidden)


def test_single_numbers_are_no_parameters(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["candidate_features", "scale"], ["logit"])]
    path = _save(tmp_path, nodes, "logit", scale=np.array(2, np.float32))
    assert (parameters(path), operations(path, H, C)) == (0, 0)


def test_a_transformer_as_exported(tmp_path: Path) -> None:
    from builders.export.torch2onnx import export

    width, layers, hidden = 16, 2, 16
    settings = settings_of(ranker={"width": width, "layers": layers, "heads": 2})
    path = export(build_ranker(20, H, settings.ranker), H, tmp_path, Export())
    block = 12 * width * width * H + 2 * H * H * width
    newest = 10 * width * width + 2 * width * width * H + 2 * H * width
    head = C * (F * hidden + hidden)
    assert operations(path, H, C) == block + newest + C * width + head
