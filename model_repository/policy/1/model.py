"""Triton's entry to the policy step; everything is in ``policy_step``."""

from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .policy_step import Measures, answer, isolated, load_item_ids


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        version = Path(args["model_repository"], args["model_version"])
        choose = partial(answer, item_ids=load_item_ids(version / "tables" / "item_ids.json"))
        self.answer = partial(isolated, choose)
        self.measures = Measures(pb_utils, args, {}, ["policy"])

    def execute(self, requests: list[Any]) -> list[Any]:
        tensors = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        answers = self.measures.timed("policy", self.answer, tensors)
        return [respond(answer) for answer in answers]

    def finalize(self) -> None:
        self.measures.close()


def respond(answer: Any) -> Any:
    """An answer's tensors, or the request's own error."""
    if isinstance(answer, Exception):
        error = pb_utils.TritonError(repr(answer), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    return pb_utils.InferenceResponse([pb_utils.Tensor(n, t) for n, t in answer.items()])
