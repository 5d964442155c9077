"""Triton's entry to the router, which stands where an ensemble was while a release is tried.

It is no step of a release: `millirank release` sends it to a running server.
"""

import asyncio
import json
import time
from typing import Any

import triton_python_backend_utils as pb_utils

from .router_step import Measures, Route, Shadow, Tensors, merged, split

COUNTED = {
    "routed_failures": "Requests that a release answered with an error while another was tried",
    "mirrored_same": "Mirrored requests that the candidate answered with the very same items",
    "mirrored_other": "Mirrored requests that the candidate answered with other items",
    "mirrored_dropped": "Requests that were not mirrored because the candidate was behind",
}
FAILED, SAME, OTHER, DROPPED = ([name == counted for counted in COUNTED] for name in COUNTED)


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self.route = Route.parse({n: p["string_value"] for n, p in config["parameters"].items()})
        self.outputs = [o["name"] for o in config["output"] if o["name"] != "release"]
        self.measures = {
            release: Measures(
                pb_utils, {**args, "model_version": str(release)}, COUNTED, ["routed"]
            )
            for release in (self.route.current, self.route.candidate)
        }
        self.shadow = Shadow(self.compare)

    async def execute(self, requests: list[Any]) -> list[Any]:
        return list(await asyncio.gather(*map(self.answer, requests)))

    async def answer(self, request: Any) -> Any:
        tensors = {t.name(): t.as_numpy() for t in request.inputs()}
        users = tensors["user_id"]
        releases = self.route.releases(users)
        parts = split(tensors, releases)
        given = await asyncio.gather(*(self.ask(request, *part) for part in parts.items()))
        errors = [answer.error() for answer in given if answer.has_error()]
        if errors:
            return pb_utils.InferenceResponse(error=errors[0])
        answers = {r: arrays(a) for r, a in zip(parts, given, strict=True)}
        whole = merged(releases, answers, self.outputs)
        if self.route.mirrored(users) and not self.shadow.mirror((tensors, whole)):
            self.measures[self.route.candidate].count(DROPPED, 1)
        return pb_utils.InferenceResponse([pb_utils.Tensor(n, t) for n, t in whole.items()])

    async def ask(self, request: Any, release: int, tensors: Tensors) -> Any:
        start = time.perf_counter_ns()
        answer = await self.request(release, tensors, request.request_id()).async_exec()
        self.measures[release].spent("routed", time.perf_counter_ns() - start, 1)
        if answer.has_error():
            self.measures[release].count(FAILED, 1)
        return answer

    def compare(self, mirrored: tuple[Tensors, Tensors]) -> None:
        tensors, returned = mirrored
        candidate = self.route.candidate
        start = time.perf_counter_ns()
        answer = self.request(candidate, tensors, "").exec()
        self.measures[candidate].spent("routed", time.perf_counter_ns() - start, 1)
        if answer.has_error():
            self.measures[candidate].count(FAILED, 1)
        else:
            same = arrays(answer)["item_id"].tolist() == returned["item_id"].tolist()
            self.measures[candidate].count(SAME if same else OTHER, 1)

    def request(self, release: int, tensors: Tensors, request_id: str) -> Any:
        return pb_utils.InferenceRequest(
            model_name=self.route.model(release),
            request_id=request_id,
            inputs=[pb_utils.Tensor(n, t) for n, t in tensors.items()],
            requested_output_names=self.outputs,
        )

    def finalize(self) -> None:
        self.shadow.close()
        for measures in self.measures.values():
            measures.close()


def arrays(answer: Any) -> Tensors:
    """The tensors of an answer by name."""
    return {t.name(): t.as_numpy() for t in answer.output_tensors()}
