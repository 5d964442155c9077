"""Ray Serve: two replicas that batch what waits; raw Starlette requests, so binary bodies."""

from __future__ import annotations

import sys
import time
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from loadtest.peers.chain import Chain
from loadtest.peers.wire import read_binary, write_binary
from serving.http_wire import LENGTH_HEADER, path


@serve.deployment(num_replicas=2, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
class Recommend:
    """What a replica holds."""

    def __init__(self) -> None:
        self.chain = Chain.named()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator]
    async def answer(self, tensors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A batch."""
        return self.chain.answer(tensors)

    async def __call__(self, request: Request) -> Response:
        """One request."""
        tensors = read_binary(await request.body(), request.headers.get(LENGTH_HEADER))
        body, headers = write_binary(await self.answer(tensors))
        return Response(body, headers=headers)


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=2, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Recommend.bind(), route_prefix=path("recommend"))  # type: ignore[attr-defined]
    while True:
        time.sleep(3600)
