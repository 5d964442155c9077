"""A tiny scorer as an ONNX file: the sum of a candidate's features, plus the newest event."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from serving.engine.profile import EngineProfile

HISTORY = 4
PROFILE = EngineProfile(history=HISTORY, candidates=(3, 6), serving_batch=2, max_batch=4)


def write_graph(
    path: Path, *, scale: float = 1.0, operator: str = "Mul", batch: int | str = "batch"
) -> Path:
    """Write the graph; with an ``operator`` that does not exist TensorRT refuses it."""
    own = [helper.make_opsetid("own", 1)] if operator != "Mul" else []
    nodes = [
        helper.make_node("Cast", ["history"], ["events"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["events"], ["newest"], axes=[1], keepdims=1),
        helper.make_node(
            operator, ["candidate_features", "scale"], ["scaled"], "scaling", domain=own and "own"
        )
        if own
        else helper.make_node("Mul", ["candidate_features", "scale"], ["scaled"], "scaling"),
        helper.make_node("ReduceMax", ["scaled"], ["best"], axes=[2], keepdims=0),
        helper.make_node("Add", ["best", "newest"], ["logit"]),
    ]
    inputs = [
        helper.make_tensor_value_info("history", TensorProto.INT32, [batch, HISTORY]),
        helper.make_tensor_value_info("candidate_features", TensorProto.FLOAT, [batch, "c", 5]),
    ]
    output = helper.make_tensor_value_info("logit", TensorProto.FLOAT, [batch, "c"])
    constant = helper.make_tensor("scale", TensorProto.FLOAT, [1], [scale])
    graph = helper.make_graph(nodes, "scorer", inputs, [output], [constant])
    opsets = [helper.make_opsetid("", 17), *own]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path
