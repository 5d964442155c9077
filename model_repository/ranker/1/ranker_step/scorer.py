"""Scores candidates with ONNX Runtime on the processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]

_VECTORS = {"history_vector": "history", "candidate_vector": "candidate"}
"""Rows of the item table, by what they are rows of; inputs where the graph does not hold it."""
_INPUTS = ("history", "candidate", "candidate_features", *_VECTORS)
_OUTPUT = "logit"


class Scorer:
    """One ONNX Runtime session."""

    def __init__(self, model: Path, threads: int) -> None:
        """Load ``model``.

        Raises:
            ValueError: the file is missing or no such model, or its tensors have other names.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait take the cores from the other steps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # its exceptions have no base of their own
            raise ValueError(f"{model} cannot be loaded ({e}); build the release again") from e
        inputs = [tensor.name for tensor in self._session.get_inputs()]
        outputs = [tensor.name for tensor in self._session.get_outputs()]
        # Inputs that a ranker does not use are left out of its graph.
        if _OUTPUT not in outputs or not set(inputs) <= set(_INPUTS):
            raise ValueError(
                f"{model}: expected inputs among {list(_INPUTS)} and an output {_OUTPUT!r}, "
                f"found {inputs} and {outputs}"
            )
        self._inputs = inputs
        shapes = {tensor.name: tensor.shape for tensor in self._session.get_inputs()}
        self._widths = {name: shapes[name][-1] for name in _VECTORS if name in shapes}

    def score(self, requests: Sequence[Tensors]) -> list[NDArray[np.float32]]:
        """Scores of each request's candidates, float32 [rows, C].

        Requests of the same shape are stacked and run together.

        Raises:
            ValueError: a request lacks the rows of the item table that the graph takes.
        """
        if self._widths:
            requests = [self._with_rows(tensors) for tensors in requests]
        by_shape: dict[tuple[int, int], list[int]] = {}
        for place, tensors in enumerate(requests):
            shape = tensors["history"].shape[1], tensors["candidate"].shape[1]
            by_shape.setdefault(shape, []).append(place)
        scores: dict[int, NDArray[np.float32]] = {}
        for places in by_shape.values():
            stacked = {n: np.concatenate([requests[p][n] for p in places]) for n in self._inputs}
            ends = np.cumsum([len(requests[p]["history"]) for p in places])[:-1]
            scores.update(zip(places, np.split(self._run(stacked), ends), strict=True))
        return [scores[place] for place in range(len(requests))]

    def _with_rows(self, tensors: Tensors) -> Tensors:
        """Zeros for rows that are absent where nothing but padding is scored, as in warm-up.

        Warm-up has no rows because their width is the release's own, and Triton warms old
        releases up again with the configuration of a new one.
        """
        absent = self._widths.keys() - tensors.keys()
        if not absent:
            return tensors
        if tensors["candidate"].any():
            raise ValueError(
                f"expected {sorted(absent)}, which the features step of this release gives; the "
                "ensemble's configuration is of a release that needs none: publish again"
            )
        shapes = {name: (*tensors[_VECTORS[name]].shape, self._widths[name]) for name in absent}
        return {**tensors, **{n: np.zeros(shape, np.float32) for n, shape in shapes.items()}}

    def _run(self, tensors: Tensors) -> NDArray[np.float32]:
        (logit,) = self._session.run([_OUTPUT], tensors)
        return np.asarray(logit, np.float32)
