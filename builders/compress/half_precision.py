"""FP16 weights and activations, between inputs and outputs in float32."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.settings import HalfPrecision
from ensembles.contracts import CANDIDATE, CANDIDATE_FEATURES, CANDIDATE_VECTOR

LOWEST = 1e4
"""Magnitude of what attention adds where it must not look: half precision ends at 65,504."""

_WIDE_SUMS = ("ReduceL2", "Clip")
_MOVES_ONLY = ("Gather", "Cast", "Shape")


def half_precision(model: Model, settings: HalfPrecision, data: CompressionData) -> Outcome:
    """Store and compute in FP16; made for a GPU, ONNX Runtime on a processor is slower with it.

    Raises:
        DoesNotApply: the graph is quantised or in FP16 already.
    """
    del data
    if model.graph_passes:
        raise DoesNotApply(
            f"its graph has passed {model.graph_passes[-1].kind}; only a float graph is halved"
        )
    return Outcome(model.with_graph_pass(settings), "weights and activations in FP16")


def to_half_precision(
    settings: HalfPrecision, source: Path, target: Path, data: CompressionData
) -> None:
    """Write the graph in FP16.

    Scores are computed in float32 from the user's and the candidates' vectors on: cosines in
    half precision would tie. So are lengths of vectors, whose squares would vanish.
    """
    del settings, data
    model = onnx.load(source)
    wide = [node.name for node in model.graph.node if node.op_type in _WIDE_SUMS]
    onnx.save(halved(model, [*wide, *scoring(model)]), target)


def halved(model: ModelProto, kept: Collection[str]) -> ModelProto:
    """The graph in FP16, inputs and outputs in float32.

    Args:
        kept: names of nodes that go on computing in float32.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    own = {n.output[0] for n in model.graph.node if n.op_type == "Cast"}
    found: ModelProto = convert_float_to_float16(
        model, max_finite_val=LOWEST, keep_io_types=True, node_block_list=list(kept)
    )
    _without_detours(found, own)
    return found


def scoring(model: ModelProto) -> list[str]:
    """Nodes that see the candidates, but for those that only look their rows up."""
    seen: set[str] = {CANDIDATE.name, CANDIDATE_FEATURES.name, CANDIDATE_VECTOR.name}
    found = []
    for node in model.graph.node:
        if seen.intersection(node.input):
            seen.update(node.output)
            if node.op_type not in _MOVES_ONLY:
                found.append(node.name)
    return found


def _without_detours(model: ModelProto, own: Collection[str]) -> None:
    """Undo float32 → FP16 → float32 between two nodes that both compute in float32, in place.

    The converter casts all inputs and outputs; on the way to the scores that would round them.

    Args:
        own: what the graph itself casts.
    """
    casts = {n.output[0]: n for n in model.graph.node if n.op_type == "Cast"}
    for node in casts.values():
        inner = casts.get(node.input[0])
        back = node.attribute[0].i == TensorProto.FLOAT
        if back and inner is not None and inner.output[0] not in own:
            node.op_type, node.input[0] = "Identity", inner.input[0]
            del node.attribute[:]
    read = {name for n in model.graph.node for name in n.input}
    read |= {o.name for o in model.graph.output}
    kept = [n for n in model.graph.node if n.op_type != "Cast" or n.output[0] in read]
    del model.graph.node[:]
    model.graph.node.extend(kept)
