"""Triton's entry to the feature step; everything is in ``features_step``."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .features_step import COUNTED, FeatureService, Measures, isolated


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        parameters = {name: p["string_value"] for name, p in parameters.items()}
        url = os.environ.get("MILLIRANK_STATE") or parameters["state"]
        version = Path(args["model_repository"], args["model_version"])
        self.service = FeatureService.open(version, parameters, url, pb_utils.Logger)
        if not self.service.state.there:
            pb_utils.Logger.log_warn(f"there is no user state at {url}: every user is a cold start")
        if self.service.share:
            pb_utils.Logger.log_warn("steps that are not joined do not explore; this release would")
        self.measures = Measures(pb_utils, args, COUNTED, ["features"])

    def execute(self, requests: list[Any]) -> list[Any]:
        tensors = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        answers = self.measures.timed("features", partial(isolated, self.service.answer), tensors)
        self.measures.count(self.service.count(answers), len(answers))
        return [respond(answer) for answer in answers]

    def finalize(self) -> None:
        self.measures.close()
        self.service.state.close()


def respond(answer: Any) -> Any:
    """An answer's tensors, or the request's own error."""
    if isinstance(answer, Exception):
        error = pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    return pb_utils.InferenceResponse([pb_utils.Tensor(n, t) for n, t in answer.tensors.items()])
