"""Triton's entry to the image encoder on the processor; all is in ``image_encoder_step``."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .image_encoder_step import Encoder, Measures, isolated


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        threads = int(config["parameters"]["threads"]["string_value"])
        version = Path(args["model_repository"], args["model_version"])
        self.encode = partial(isolated, Encoder(version, threads).encode)
        self.measures = Measures(pb_utils, args, {}, ["image_encoder"])

    def execute(self, requests: list[Any]) -> list[Any]:
        tensors = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        pixels = [named["pixels"] for named in tensors]
        vectors = self.measures.timed("image_encoder", self.encode, pixels)
        return [respond(vector) for vector in vectors]

    def finalize(self) -> None:
        self.measures.close()


def respond(vector: Any) -> Any:
    """Vectors, or the request's own error."""
    if isinstance(vector, Exception):
        error = pb_utils.TritonError(str(vector), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    return pb_utils.InferenceResponse([pb_utils.Tensor("visual_vector", vector)])
