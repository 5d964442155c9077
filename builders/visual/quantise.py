"""The encoder in INT8, in the form that each runtime computes fast."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from builders.visual.encoder_graph import after_backbone
from ensembles.contracts import PIXELS

_ROWS = 8


def quantise_encoder(
    source: Path, target: Path, batches: Iterable[NDArray[np.float32]], *, symmetric: bool
) -> None:
    """Write a graph with Q/DQ nodes in the backbone; what follows its features stays in float.

    Weights are quantised by output channel, activations by their smallest and largest value.

    Args:
        source: float graph.
        batches: pixels [B, 3, S, S] that ranges of activations are measured on.
        symmetric: activations with a sign and zero points 0, in convolutions only, biases in
            float: what TensorRT takes. Otherwise activations without a sign, for ONNX Runtime on a
            processor, which is slower in the symmetric form than in float32.
    """
    form: dict[str, Any] = {"activation_type": QuantType.QUInt8}
    options: dict[str, Any] = {"WeightSymmetric": True}
    if symmetric:
        form = {"activation_type": QuantType.QInt8, "op_types_to_quantize": ["Conv"]}
        options |= {
            "ActivationSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": ["Conv"],
        }
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Rows(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=after_backbone(onnx.load(prepared)),
            extra_options=options,
            **form,
        )


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    """Few rows at a time: the calibrator holds what every layer gives for them."""

    def __init__(self, batches: Iterable[NDArray[np.float32]]) -> None:
        self._rows = _few(batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Inputs of the next run; None at the end."""
        rows = next(self._rows, None)
        return None if rows is None else {PIXELS.name: rows}


def _few(batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    for pixels in batches:
        for start in range(0, len(pixels), _ROWS):
            yield pixels[start : start + _ROWS]
