"""Triton's entry to the recording of events; everything is in ``record_step``."""

import json
import os
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .record_step import COUNTED, Answer, BadRequest, Measures, RecordService


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        parameters = {name: p["string_value"] for name, p in parameters.items()}
        url = os.environ.get("MILLIRANK_STATE") or parameters["state"]
        version = Path(args["model_repository"], args["model_version"])
        self.service = RecordService.open(version, parameters, url)
        self.measures = Measures(pb_utils, args, COUNTED, ["record"])

    def execute(self, requests: list[Any]) -> list[Any]:
        tensors = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        outcomes = self.measures.timed("record", self.service.answer, tensors)
        self.measures.count(self.service.count(outcomes), len(outcomes))
        return [respond(outcome) for outcome in outcomes]

    def finalize(self) -> None:
        self.measures.close()
        self.service.store.close()


def respond(outcome: Any) -> Any:
    """An answer's tensors, or the request's own error."""
    if isinstance(outcome, Answer):
        found = {"accepted": outcome.accepted, "event_id": outcome.event_id}
        return pb_utils.InferenceResponse([pb_utils.Tensor(n, t) for n, t in found.items()])
    codes = pb_utils.TritonError
    code = codes.INVALID_ARG if isinstance(outcome, BadRequest) else codes.UNAVAILABLE
    return pb_utils.InferenceResponse(error=codes(str(outcome), code))
