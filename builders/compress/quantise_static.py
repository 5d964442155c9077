"""INT8 with Q/DQ nodes, calibrated on real histories."""

from __future__ import annotations

from pathlib import Path

import onnx

from builders.compress.calibration import ranges
from builders.compress.interface import CompressionData, Model, Outcome
from builders.compress.quantisable import kept_in_float, layers
from builders.compress.quantised_nodes import add_nodes
from builders.compress.sensitivity import quantise
from builders.compress.settings import QuantiseStatic


def quantise_static(model: Model, settings: QuantiseStatic, data: CompressionData) -> Outcome:
    """Quantise all layers but those that lose too much alone.

    A row's scores do not depend on the rest of its batch.

    Raises:
        DoesNotApply: the ranker has no matrix products with a weight beside its head, its graph
            is quantised or in FP16 already, or every layer loses too much.
        BuildError: ``keep_float`` names a layer that does not exist.
    """
    return quantise(model, settings, data, quantise_statically, alone=False)


def quantise_statically(
    settings: QuantiseStatic, source: Path, target: Path, data: CompressionData
) -> None:
    """Write the graph with Q/DQ nodes around all layers that ``keep_float`` does not name."""
    model = onnx.load(source)
    found = layers(model)
    kept = kept_in_float(found, settings.keep_float)
    chosen = [node for name, node in found.items() if name not in kept]
    tensors = dict.fromkeys(node.input[0] for node in chosen)
    add_nodes(model, chosen, ranges(source, tensors, data.calibration, settings))
    onnx.save(model, target)
