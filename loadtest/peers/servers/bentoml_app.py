"""BentoML: two workers of a batchable method; its requests are lists, in JSON."""

from __future__ import annotations

from typing import Any

import bentoml

from loadtest.peers.chain import Chain
from loadtest.peers.wire import read_json, write_json
from serving.http_wire import path


@bentoml.service(workers=2, traffic={"timeout": 30}, metrics={"enabled": False})
class Recommend:
    """What a worker holds."""

    def __init__(self) -> None:
        self.chain = Chain.named()

    @bentoml.api(route=path("recommend"), batchable=True, max_batch_size=64, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    def infer(self, requests: list[dict[str, Any]], /) -> list[dict[str, Any]]:
        """A batch."""
        answers = self.chain.answer([read_json(request) for request in requests])
        return [write_json(answer) for answer in answers]
