"""Triton's entry to the ranker on the processor; everything is in ``ranker_step``."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .ranker_step import Measures, Scorer, isolated


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        threads = int(config["parameters"]["threads"]["string_value"])
        version = Path(args["model_repository"], args["model_version"])
        self.score = partial(isolated, Scorer(version / "model.onnx", threads).score)
        self.measures = Measures(pb_utils, args, {}, ["ranker"])

    def execute(self, requests: list[Any]) -> list[Any]:
        tensors = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        logits = self.measures.timed("ranker", self.score, tensors)
        return [respond(logit) for logit in logits]

    def finalize(self) -> None:
        self.measures.close()


def respond(logit: Any) -> Any:
    """Scores, or the request's own error."""
    if isinstance(logit, Exception):
        error = pb_utils.TritonError(str(logit), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    return pb_utils.InferenceResponse([pb_utils.Tensor("logit", logit)])
