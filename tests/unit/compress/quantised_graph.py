"""Reads what a pass over the graph wrote."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from builders.compress.gates import graph_logits
from builders.compress.graph import APPLY
from builders.compress.interface import CompressionData, Model
from builders.compress.quantisable import layers
from builders.evaluation.retrieved import RetrievedCandidates

LAYERS = [
    f"blocks.{n}.{part}"
    for n in range(3)
    for part in ("query", "key_value", "merge", "widen", "narrow")
]
"""Of the teacher."""


def applied(model: Model, plain: Path, data: CompressionData, target: Path) -> Path:
    """All graph passes of a model on its exported graph."""
    graph = plain
    for number, settings in enumerate(model.graph_passes):
        changed = target.with_name(f"{number}-{target.name}")
        APPLY[settings.kind](settings, graph, changed, data)
        graph = changed
    return Path(shutil.copy(graph, target))


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def dequantised(path: Path) -> Iterator[tuple[Any, list[Any]]]:
    """Products with the DequantizeLinear nodes before them."""
    graph = onnx.load(path).graph
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm"):
            before = [made[i] for i in node.input if i in made]
            yield node, [n for n in before if n.op_type == "DequantizeLinear"]


def outputs(path: Path) -> dict[str, str]:
    """First output of each layer, by the layer's name, of a float graph."""
    return {name: node.output[0] for name, node in layers(onnx.load(path)).items()}


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def padded(rows: RetrievedCandidates) -> RetrievedCandidates:
    """The same with a row without history, and every other candidate missing."""
    history, candidate, features = rows.history.copy(), rows.candidate.copy(), rows.features.copy()
    history[0] = 0
    candidate[:, ::2], features[:, ::2] = 0, 0
    return replace(rows, history=history, candidate=candidate, features=features)


def scores(path: Path, rows: RetrievedCandidates, *, alone: bool = False) -> NDArray[Any]:
    return graph_logits(path, rows, alone=alone)
