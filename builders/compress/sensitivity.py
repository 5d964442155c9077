"""What quantising one layer alone costs, for every layer, and the layers that it costs too much.

Loss is measured against the float graph's own order and not against targets: a few dozen rows
have too few targets to tell a loss of 0.2 %. Its first ten candidates are taken for relevant, as
much as their places are worth (graded NDCG, Järvelin and Kekäläinen 2002). How sure the ranker
is of them is left out: on training events it is too sure, and nothing would seem to matter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.operations import operations
from builders.compress.quantisable import check_names, kept_in_float, layers
from builders.compress.settings import QuantiseDynamic, QuantiseStatic
from builders.evaluation.retrieved import RetrievedCandidates
from builders.export.item_lookup import export_ranker, table_of
from builders.export.verify import feed_of, open_session
from ensembles.contracts import LOGIT

TITLE = "share of NDCG@10 lost, by the float order, when this layer alone is INT8"

_SWITCH = "quantised_layer"
_NONE = -1
_ROWS = 16
_LEAST, _MOST = 32, 128
_WORK = 6e12
"""Multiply-adds that may be spent: about two minutes of one core."""

Settings = TypeVar("Settings", QuantiseStatic, QuantiseDynamic)
Apply = Callable[[Settings, Path, Path, CompressionData], None]


def quantise(
    model: Model, settings: Settings, data: CompressionData, apply: Apply[Settings], *, alone: bool
) -> Outcome:
    """Add a pass of quantisation that leaves sensitive layers in float.

    Args:
        apply: quantises all layers of a graph that ``keep_float`` does not name.
        alone: measure one row at a time, where rows of a batch depend on each other.

    Raises:
        DoesNotApply: nothing can be quantised, or nothing without losing too much.
        BuildError: ``keep_float`` names a layer that does not exist.
    """
    if model.graph_passes:
        raise DoesNotApply(
            f"its graph has passed {model.graph_passes[-1].kind}; only a float graph is quantised"
        )
    with tempfile.TemporaryDirectory(dir=data.work) as folder:
        graph = export_ranker(model.ranker, model.saved.history, Path(folder), data.settings.export)
        found = list(layers(onnx.load(graph)))
        if not found:
            raise DoesNotApply("it has no matrix product with a weight, beside the hybrid head")
        check_names(found, settings.keep_float)
        quantised = Path(folder, "quantised.onnx")
        apply(settings, graph, quantised, data)
        left = kept_in_float(found, settings.keep_float)
        names = [name for name in found if name not in left]
        losses = layer_losses(graph, quantised, names, data, alone=alone)
    sensitive: list[str] = [name for name, loss in losses.items() if loss > settings.sensitivity]
    if len(sensitive) == len(losses):
        raise DoesNotApply(
            f"every layer alone loses more than sensitivity = {settings.sensitivity:g} of NDCG@10"
        )
    chosen = settings.model_copy(update={"keep_float": (*settings.keep_float, *sensitive)})
    summary = f"{len(losses) - len(sensitive)} of {len(found)} layers in INT8"
    if sensitive:
        summary += f"; too sensitive: {', '.join(sensitive)}"
    return Outcome(model.with_graph_pass(chosen), summary, TITLE, losses)


def layer_losses(
    source: Path, quantised: Path, names: list[str], data: CompressionData, *, alone: bool
) -> dict[str, float]:
    """Share of NDCG@10, by the float graph's order, that each of the layers costs alone.

    Args:
        source: the float graph.
        quantised: the same graph with at least these layers quantised.
    """
    rows = _rows(source, len(names), data)
    with tempfile.TemporaryDirectory(dir=data.work) as folder:
        both = Path(folder, "switchable.onnx")
        onnx.save(switchable(onnx.load(source), onnx.load(quantised), names), both)
        session = open_session(both, table=table_of(source))
    exact = _logits(session, rows, _NONE, alone)
    worth = _worth(exact)
    best = _gained(worth, worth)
    return {
        name: 1 - _gained(worth, _worth(_logits(session, rows, number, alone))) / best
        for number, name in enumerate(names)
    }


def switchable(source: ModelProto, quantised: ModelProto, names: list[str]) -> ModelProto:
    """The quantised graph with one more input: the number of the one layer that is quantised.

    So one session measures every layer by the kernels that are served; -1 is the float graph.
    """
    graph, floats = quantised.graph, layers(source)
    by_output = {floats[name].output[0]: (n, floats[name]) for n, name in enumerate(names)}
    graph.input.append(helper.make_tensor_value_info(_SWITCH, TensorProto.INT64, []))
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        for at, output in enumerate(node.output):
            if output in by_output:
                node.output[at] = f"{output}_int8"
                nodes.extend(_switched(graph, output, *by_output[output]))
    del graph.node[:]
    graph.node.extend(nodes)
    have = {t.name for t in graph.initializer}
    read = {name for _, node in by_output.values() for name in node.input}
    graph.initializer.extend(
        t for t in source.graph.initializer if t.name in read and t.name not in have
    )
    return quantised


def _switched(graph: Any, output: str, number: int, product: NodeProto) -> list[NodeProto]:
    """``output`` out of the quantised product or the float one."""
    own = NodeProto()
    own.CopyFrom(product)
    own.name, own.output[0] = f"{output}_float_product", f"{output}_float"
    graph.initializer.append(
        numpy_helper.from_array(np.array(number, np.int64), f"{output}_number")
    )
    chosen = f"{output}_chosen"
    return [
        own,
        helper.make_node("Equal", [_SWITCH, f"{output}_number"], [chosen], chosen),
        helper.make_node(
            "Where", [chosen, f"{output}_int8", own.output[0]], [output], f"{output}_either"
        ),
    ]


def _rows(graph: Path, count: int, data: CompressionData) -> RetrievedCandidates:
    """As many calibration rows as the work allows: so the same rows on any machine."""
    lengths = data.settings.features.history, data.settings.retrieval.candidates
    work = max(operations(graph, *lengths), 1) * (count + 1)
    wanted = int(np.clip(_WORK / work, _LEAST, _MOST))
    found = data.calibration
    return RetrievedCandidates(
        found.history[:wanted],
        found.candidate[:wanted],
        found.features[:wanted],
        found.target[:wanted],
    )


def _logits(
    session: Any, rows: RetrievedCandidates, number: int, alone: bool
) -> NDArray[np.float32]:
    """Scores with one layer quantised, float32 [M, C]; the lowest for padding and non-numbers."""
    found = np.empty(rows.candidate.shape, np.float32)
    step = 1 if alone else _ROWS
    for start in range(0, len(found), step):
        part = np.arange(start, min(start + step, len(found)))
        feed = _feed(session, rows, part, number)
        (found[part],) = session.run([LOGIT.name], feed)
    return np.where((rows.candidate > 0) & np.isfinite(found), found, -np.inf).astype(np.float32)


def _feed(
    session: Any, rows: RetrievedCandidates, part: NDArray[np.int64], number: int
) -> Mapping[str, NDArray[Any]]:
    return {**feed_of(session, rows, part), _SWITCH: np.array(number, np.int64)}


def _worth(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """What each candidate's place is worth: float [M, C], 0 behind the first ten."""
    order = np.argsort(-logits, axis=1, kind="stable")[:, :10]
    found = np.zeros(logits.shape)
    gain = 1 / np.log2(np.arange(order.shape[1]) + 2)
    np.put_along_axis(found, order, np.broadcast_to(gain, order.shape), axis=1)
    return found


def _gained(relevance: NDArray[np.float64], worth: NDArray[np.float64]) -> float:
    return float((relevance * worth).sum(axis=1).mean())
