"""INT8 weights, activations quantised while they flow; for the processor only."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from builders.compress.interface import CompressionData, Model, Outcome
from builders.compress.quantisable import kept_in_float, layers
from builders.compress.sensitivity import quantise
from builders.compress.settings import QuantiseDynamic


def quantise_dynamic(model: Model, settings: QuantiseDynamic, data: CompressionData) -> Outcome:
    """Quantise all layers but those that lose too much alone.

    An activation has one scale for the whole tensor, taken from the values that are just in it:
    a row's scores therefore depend a little on the rows that share its batch.

    Raises:
        DoesNotApply: the ranker has no matrix products with a weight beside its head, its graph
            is quantised or in FP16 already, or every layer loses too much.
        BuildError: ``keep_float`` names a layer that does not exist.
    """
    return quantise(model, settings, data, quantise_dynamically, alone=True)


def quantise_dynamically(
    settings: QuantiseDynamic, source: Path, target: Path, data: CompressionData
) -> None:
    """Write the graph with all layers quantised that ``keep_float`` does not name."""
    del data
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(source)
    found = layers(model)
    kept = kept_in_float(found, settings.keep_float)
    chosen = [node.name for name, node in found.items() if name not in kept]
    if not chosen:
        onnx.save(model, target)
        return
    # What the mark promises holds: PyTorch's exporter has inferred shapes and folded constants.
    # Without it every call warns.
    add_pre_process_metadata(model)
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        marked = Path(folder, "marked.onnx")
        onnx.save(model, marked)
        quantize_dynamic(
            marked,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            nodes_to_quantize=chosen,
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
