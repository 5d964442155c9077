"""Size and work of an ONNX graph: parameters, and multiply-adds of one request."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from ensembles.contracts import HISTORY, HISTORY_VECTOR


def parameters(model: Path) -> int:
    """Numbers in the graph's initializers with more than one entry, scales included."""
    import onnx

    graph = onnx.load(model).graph
    return sum(count for t in graph.initializer if (count := prod(t.dims)) > 1)


def operations(model: Path, history: int, candidates: int) -> int:
    """Multiply-adds of matrix products (MatMul, Gemm, LSTM and their integer forms).

    Of one request with ``history`` events and ``candidates`` candidates. Lookups, norms and
    activations are left out.
    """
    import onnx
    from onnx.shape_inference import infer_shapes

    proto = onnx.load(model)
    for tensor in proto.graph.input:
        of_history = tensor.name in (HISTORY.name, HISTORY_VECTOR.name)
        for axis, size in enumerate((1, history if of_history else candidates)):
            tensor.type.tensor_type.shape.dim[axis].dim_value = size
    del proto.graph.value_info[:]
    for tensor in proto.graph.output:
        tensor.type.tensor_type.ClearField("shape")
    graph = infer_shapes(proto, data_prop=True).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in [*graph.value_info, *graph.input, *graph.output]:
        shapes[value.name] = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
    return sum(_of_node(node, shapes) for node in graph.node)


def _of_node(node: Any, shapes: dict[str, list[int]]) -> int:
    if node.op_type in ("MatMul", "MatMulInteger", "FusedMatMul"):
        left, out = shapes.get(node.input[0], [1]), shapes.get(node.output[0], [1])
        return prod(out) * left[-1]
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        left, out = shapes.get(node.input[0], [1, 1]), shapes.get(node.output[0], [1])
        return prod(out) * left[0 if transposed else -1]
    if node.op_type == "LSTM":
        steps, rows = shapes[node.input[0]][:2]
        return steps * rows * (prod(shapes[node.input[1]]) + prod(shapes[node.input[2]]))
    return 0
