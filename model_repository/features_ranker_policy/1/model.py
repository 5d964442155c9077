"""Triton's entry to the steps features, ranker and policy in one model.

It composes the functions of ``features_step``, ``ranker_step`` and ``policy_step``; a release
holds them, with their tables, in this folder.
"""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .chain_step import BatchLog, Impressions, Stages, Told, merged, stored
from .features_step import COUNTED, FeatureService, Measures, isolated, with_seeds
from .policy_step import answer, load_item_ids
from .ranker_step import Scorer

OWN = {
    "impressions_dropped": "Requests chosen for the event log that did not get there",
    "explored_slots": "Slots of answers that were given to items that little is known of",
}
SENT = ("item_id", "score", "degraded")
"""Of an answer; what else there is, is for the log."""


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
        self.scorer = Scorer(version / "model.onnx", int(parameters["threads"]))
        names = load_item_ids(version / "tables" / "item_ids.json")
        self.decide = partial(answer, item_ids=names, share=self.service.share)
        stages = {"features": self.features, "ranker": self.rank, "policy": self.choose}
        self.measures = Measures(pb_utils, args, COUNTED | OWN, list(stages))
        log = BatchLog(os.environ.get("MILLIRANK_STAGE_LOG", ""))
        self.stages = Stages(stages, self.measures.spent, log)
        self.shown = Impressions(
            float(parameters["impressions"]),
            int(args["model_version"]),
            partial(stored, pb_utils),
            lambda requests: self.count_own(requests, 0),
        )
        self.told = Told.from_environment(args["model_name"], args["model_version"])

    def execute(self, requests: list[Any]) -> list[Any]:
        answers = self.stages.answer(requests)
        self.told.batch(requests, answers, self.stages.passed)
        self.shown.batch(requests, answers)
        return [respond(answer) for answer in answers]

    def features(self, requests: list[Any]) -> list[Any]:
        tensors = [{t.name(): t.as_numpy() for t in request.inputs()} for request in requests]
        if self.service.share:
            pairs = zip(tensors, requests, strict=True)
            tensors = [with_seeds(given, str(request.request_id())) for given, request in pairs]
        answers = isolated(self.service.answer, tensors)
        self.told.found(answers)
        self.measures.count((*self.service.count(answers), 0, 0), len(answers))
        return [a if isinstance(a, Exception) else a.tensors for a in answers]

    def rank(self, tensors: list[Any]) -> list[Any]:
        scored: list[Any] = merged(tensors, isolated(self.scorer.score, tensors), "logit")
        return scored

    def choose(self, tensors: list[Any]) -> list[Any]:
        chosen = isolated(self.decide, tensors)
        if self.service.share:
            good = (c for c in chosen if not isinstance(c, Exception))
            self.count_own(0, sum(int(c["explored"].sum()) for c in good))
        return [
            c
            if isinstance(c, Exception)
            else {**c, "degraded": t["degraded"], "history": t["history"]}
            for t, c in zip(tensors, chosen, strict=True)
        ]

    def count_own(self, dropped: int, explored: int) -> None:
        """Add to the counters ``OWN``."""
        self.measures.count([0] * len(COUNTED) + [dropped, explored], 0)

    def finalize(self) -> None:
        self.shown.close()
        self.told.close()
        self.measures.close()
        self.service.state.close()


def respond(answer: Any) -> Any:
    """An answer's tensors, or the request's own error."""
    if isinstance(answer, Exception):
        error = pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
        return pb_utils.InferenceResponse(error=error)
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, answer[name]) for name in SENT])
