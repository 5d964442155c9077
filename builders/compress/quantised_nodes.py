"""Q/DQ nodes in a float graph.

They are written here and not by ONNX Runtime's quantiser, so that one form serves both
runtimes: symmetric, zero points zero, weights by output channel, the products' results and
biases in float. ONNX Runtime fuses a product with the nodes before it into one integer kernel;
TensorRT takes the same graph as a strongly typed network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

LARGEST = 127
_SMALLEST = 1e-30


def add_nodes(model: ModelProto, chosen: Iterable[NodeProto], limits: Mapping[str, float]) -> None:
    """Quantise both inputs of some products, in place.

    Args:
        chosen: MatMul and Gemm nodes of the graph whose second input is a weight.
        limits: largest magnitude, by name of a first input.
    """
    graph = model.graph
    wanted = {id_of(node) for node in chosen}
    weights = {t.name: t for t in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if id_of(node) in wanted:
            # Own nodes and parameters for each product: ONNX Runtime fuses no product that
            # shares them, not even the query's with the key's.
            own = id_of(node)
            left = _activation(graph, node.input[0], own, limits[node.input[0]])
            right = _weight(graph, _matrix(node, weights[node.input[1]]), own)
            nodes.extend([*left, right, *_product(node, left[-1].output[0], right.output[0])])
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)


def id_of(node: NodeProto) -> str:
    """What tells a node from all others, named or not: its first output."""
    return str(node.output[0])


def integers(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A weight [in, out] in integers from -127 to 127, and a scale for each output: [out]."""
    peak = np.abs(weight).max(axis=0)
    scale = (np.where(peak > _SMALLEST, peak, 1.0) / LARGEST).astype(np.float32)
    return np.clip(np.rint(weight / scale), -LARGEST, LARGEST).astype(np.int8), scale


def _activation(graph: GraphProto, name: str, own: str, limit: float) -> list[NodeProto]:
    """Q and DQ of an activation."""
    parameters = _parameters(graph, f"{own}_input", np.float32(max(limit, _SMALLEST) / LARGEST))
    stored, read = f"{own}_input_int8", f"{own}_input"
    return [
        helper.make_node("QuantizeLinear", [name, *parameters], [stored], stored),
        helper.make_node("DequantizeLinear", [stored, *parameters], [read], read),
    ]


def _weight(graph: GraphProto, weight: NDArray[np.float32], own: str) -> NodeProto:
    """DQ of a weight, whose integers are put into the graph."""
    values, scale = integers(weight)
    read, stored = f"{own}_weight", f"{own}_weight_int8"
    graph.initializer.append(numpy_helper.from_array(values, stored))
    parameters = _parameters(graph, read, scale)
    return helper.make_node("DequantizeLinear", [stored, *parameters], [read], read, axis=1)


def _parameters(graph: GraphProto, name: str, scale: Any) -> list[str]:
    """Names of scale and zero point, put into the graph."""
    values = {f"{name}_scale": np.asarray(scale), f"{name}_zero": np.zeros_like(scale, np.int8)}
    graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in values.items())
    return list(values)


def _matrix(node: NodeProto, weight: TensorProto) -> NDArray[np.float32]:
    """The weight as [in, out]."""
    matrix: NDArray[np.float32] = numpy_helper.to_array(weight)
    return matrix.T if any(a.name == "transB" and a.i for a in node.attribute) else matrix


def _product(node: NodeProto, left: str, right: str) -> list[NodeProto]:
    """The product with quantised inputs; a Gemm as MatMul and Add, which keeps its bias in float.

    ONNX Runtime has no integer kernel for a Gemm with a float bias, TensorRT none with another.
    """
    if node.op_type == "MatMul":
        node.input[:] = [left, right]
        return [node]
    bias = node.input[2:]
    out = f"{node.output[0]}_product" if bias else node.output[0]
    product = helper.make_node("MatMul", [left, right], [out], node.name)
    product.metadata_props.extend(node.metadata_props)
    if not bias:
        return [product]
    return [product, helper.make_node("Add", [out, *bias], node.output, f"{node.name}_bias")]


def _drop_unused(graph: GraphProto) -> None:
    read = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    kept = [t for t in graph.initializer if t.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
