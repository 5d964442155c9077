"""Triton's entry to the preprocess step; everything is in ``preprocess_step``."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .preprocess_step import COUNTED, Measures, PreprocessService, isolated


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        parameters = {name: p["string_value"] for name, p in parameters.items()}
        version = Path(args["model_repository"], args["model_version"])
        on_gpu = args["model_instance_kind"] == "GPU"
        device = int(args["model_instance_device_id"]) if on_gpu else None
        self.service = PreprocessService.open(version, parameters, device)
        self.measures = Measures(pb_utils, args, COUNTED, ["preprocess"])

    def execute(self, requests: list[Any]) -> list[Any]:
        tensors = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        answers = self.measures.timed("preprocess", partial(isolated, self.service.answer), tensors)
        self.measures.count(self.service.count(answers), len(answers))
        return [respond(answer) for answer in answers]

    def finalize(self) -> None:
        self.measures.close()
        self.service.preprocessor.close()


def respond(answer: Any) -> Any:
    """Pixels, or the request's own error."""
    if isinstance(answer, Exception):
        error = pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    return pb_utils.InferenceResponse([pb_utils.Tensor("pixels", answer)])
