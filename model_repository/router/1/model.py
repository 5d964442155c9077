"""Triton's entry to the router, which stands where an ensemble was while a release is tried.

It is no step of a release: `millirank release` sends it to a running server.
"""

import asyncio
import json
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .router_step import Background, Measures, Route, Shadow, Tensors, code_of, merged, split

COUNTED = {
    "routed_failures": "Requests that the candidate failed and the current release answered",
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
        self.background = Background()

    def execute(self, requests: list[Any]) -> None:
        # Each is answered when it is ready: who asks the current release does not wait for a slow
        # candidate, whether in one batch with its users or in a later one.
        for request in requests:
            self.background.begin(self.respond(request, request.get_response_sender()))

    async def respond(self, request: Any, sender: Any) -> None:
        try:
            answer = await self.answer(request)
        except Exception as e:  # noqa: BLE001 (the request would never end)
            error = pb_utils.TritonError(repr(e), pb_utils.TritonError.INTERNAL)
            answer = pb_utils.InferenceResponse(error=error)
        sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    async def answer(self, request: Any) -> Any:
        tensors = {t.name(): t.as_numpy() for t in request.inputs()}
        releases = self.route.releases(tensors)
        given = await self.ask(request, tensors, releases)
        if self.route.candidate in given and errors(given):
            # Nobody is to be the worse for a trial; and what fails again is a wrong request.
            releases = np.full_like(releases, self.route.current)
            given = await self.ask(request, tensors, releases)
            if not errors(given):
                self.measures[self.route.candidate].count(FAILED, 1)
        if failed := errors(given):
            return pb_utils.InferenceResponse(error=coded(failed[0].message()))
        whole = merged(releases, {r: arrays(a) for r, a in given.items()}, self.outputs)
        mirrored = self.route.candidate not in given and self.route.mirrored(tensors)
        if mirrored and not self.shadow.mirror((tensors, whole)):
            self.measures[self.route.candidate].count(DROPPED, 1)
        return pb_utils.InferenceResponse([pb_utils.Tensor(n, t) for n, t in whole.items()])

    async def ask(self, request: Any, tensors: Tensors, releases: Any) -> dict[int, Any]:
        """The answer of each release to its rows."""
        parts, request_id = split(tensors, releases), request.request_id()
        asked = (self.timed(release, part, request_id) for release, part in parts.items())
        return dict(zip(parts, await asyncio.gather(*asked), strict=True))

    async def timed(self, release: int, tensors: Tensors, request_id: str) -> Any:
        start = time.perf_counter_ns()
        answer = await self.request(release, tensors, request_id).async_exec()
        self.measures[release].spent("routed", time.perf_counter_ns() - start, 1)
        return answer

    def compare(self, mirrored: tuple[Tensors, Tensors]) -> None:
        """Ask the candidate what the current release has answered."""
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
        self.background.close()
        self.shadow.close()
        for measures in self.measures.values():
            measures.close()


def arrays(answer: Any) -> Tensors:
    """The tensors of an answer by name."""
    return {t.name(): t.as_numpy() for t in answer.output_tensors()}


def coded(message: str) -> Any:
    """An error as the ensemble has it."""
    return pb_utils.TritonError(message, getattr(pb_utils.TritonError, code_of(message)))


def errors(given: dict[int, Any]) -> list[Any]:
    """Of the answers."""
    return [answer.error() for answer in given.values() if answer.has_error()]
