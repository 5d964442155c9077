"""From a model on its way through the chain to the graph that is measured and served."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from builders.compress.half_precision import to_half_precision
from builders.compress.interface import CompressionData, Model
from builders.compress.quantise_dynamic import quantise_dynamically
from builders.compress.quantise_static import quantise_statically
from builders.export.item_lookup import export_ranker, move_graph, table_of
from builders.export.verify import verify

APPLY: Mapping[str, Callable[[Any, Path, Path, CompressionData], None]] = {
    "quantise_static": quantise_statically,
    "quantise_dynamic": quantise_dynamically,
    "fp16": to_half_precision,
}
"""By kind of graph pass: (settings, source, target, data), writes ``target``."""


def materialise(model: Model, data: CompressionData, target: Path) -> dict[str, float]:
    """Export the ranker, check it against PyTorch, apply the graph passes; writes ``target``.

    Returns:
        Largest difference of a score between PyTorch and the float graph, by case.

    Raises:
        BuildError: the ranker cannot be exported, or a graph pass fails.
        VerificationError: the float graph differs from PyTorch.
    """
    settings = data.settings.export
    with tempfile.TemporaryDirectory(dir=data.work) as folder:
        graph = export_ranker(model.ranker, model.saved.history, Path(folder), settings)
        differences = verify(model.ranker, graph, data.validation, settings)
        for number, chosen in enumerate(model.graph_passes):
            changed = Path(folder, f"{number}.onnx")
            APPLY[chosen.kind](chosen, graph, changed, data)
            if table_of(graph).is_file():
                table_of(graph).replace(table_of(changed))
            graph = changed
        move_graph(graph, target)
    return differences
