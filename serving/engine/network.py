"""From an ONNX file to a strongly typed TensorRT network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from ensembles.errors import BuildError
from serving.engine.library import Library


def parse(library: Library, builder: Any, logger: Any, graph: Path) -> Any:
    """The network: every tensor has the type that the graph gives it, none is lowered.

    Raises:
        BuildError: TensorRT refuses the graph; names the node and the reason.
    """
    trt = library.module
    strongly_typed = int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(1 << strongly_typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        reasons = [_reason(parser.get_error(n)) for n in range(parser.num_errors)]
        raise BuildError(
            f"{library.name} {library.version} refuses {graph.name}: "
            f"{'; '.join(reasons) or 'without a reason'}; change the ranker or export.opset"
        )
    return network


def _reason(error: Any) -> str:
    node, operator = error.node_name(), error.node_operator()
    where = f"node {node!r} ({operator}): " if node or operator else ""
    return where + " ".join(error.desc().split())


def quantise_nodes(library: Library, network: Any) -> dict[str, int]:
    """Q and DQ nodes that arrived in the network, as ``{"QUANTIZE INT8": 12, ...}``."""
    kinds = library.module.LayerType
    found: Counter[str] = Counter()
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        if layer.type in {kinds.QUANTIZE, kinds.DEQUANTIZE}:
            found[f"{layer.type.name} {layer.get_output(0).dtype.name}"] += 1
    return dict(sorted(found.items()))
