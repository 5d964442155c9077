"""Vectors of pictures, by ONNX Runtime on the processor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_GRAPH, _DESCRIPTION = "model.onnx", "encoder.json"
_INPUT, _OUTPUT = "pixels", "visual_vector"


class Encoder:
    """One ONNX Runtime session.

    Attributes:
        size: rows and columns of a picture's pixels.
        width: length of a vector.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        """Load ``model.onnx``, check it against ``encoder.json``, and run it once.

        Raises:
            ValueError: a file is missing or damaged, or they are not of the same encoder.
        """
        self.size, self.width = _read(folder / _DESCRIPTION)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait take the cores from the other steps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = folder / _GRAPH
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # its exceptions have no base of their own
            raise ValueError(f"{model} cannot be loaded ({e}); build the release again") from e
        found = [
            (tensor.name, tensor.shape[1:])
            for tensor in [*self._session.get_inputs(), *self._session.get_outputs()]
        ]
        expected = [(_INPUT, [3, self.size, self.size]), (_OUTPUT, [self.width])]
        if found != expected:
            raise ValueError(
                f"{model}: expected {expected} by {_DESCRIPTION}, found {found}; "
                "build the release again"
            )
        # The first run takes longer than those that follow.
        self._run(np.zeros((1, 3, self.size, self.size), np.float32))

    def encode(self, requests: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Vectors of length 1, float32 [rows, width], of each request's pixels; run together.

        Args:
            requests: float32 [rows, 3, size, size] each.

        Raises:
            ValueError: a request's pixels have another shape.
        """
        for pixels in requests:
            if pixels.shape[1:] != (3, self.size, self.size):
                raise ValueError(
                    f"{_INPUT}: expected the shape [rows, 3, {self.size}, {self.size}], got "
                    f"{list(pixels.shape)}; the preprocess step of the same release gives it"
                )
        ends = np.cumsum([len(pixels) for pixels in requests])[:-1]
        return np.split(self._run(np.concatenate(requests)), ends)

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        (vector,) = self._session.run([_OUTPUT], {_INPUT: pixels})
        return np.asarray(vector, np.float32)


def _read(path: Path) -> tuple[int, int]:
    """Size and width."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return int(raw["size"]), int(raw["width"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ValueError(f"{path} cannot be read ({e}); build the release again") from e
