"""LitServe: two workers that batch what waits; it reads JSON and forms, not binary bodies.

It looks at the class that ``decode_request`` names, so annotations must not be left as text here.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import litserve
from fastapi import Request

from loadtest.peers.chain import Chain
from loadtest.peers.wire import read_json, write_json
from serving.http_wire import path


class Recommend(litserve.LitAPI):  # type: ignore[misc]
    """What a worker calls."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Open the chain, once a worker."""
        self.chain = Chain.named()

    def decode_request(self, request: Request) -> dict[str, Any]:
        """The JSON of one request."""
        return read_json(request)  # LitServe hands on its content

    def batch(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """The steps stack for themselves."""
        return inputs

    def predict(self, x: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A batch."""
        return self.chain.answer(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer a request."""
        return output

    def encode_response(self, output: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON of one answer."""
        return write_json(output)


if __name__ == "__main__":
    api = Recommend(max_batch_size=64, batch_timeout=0.0, api_path=path("recommend"))
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=2, fast_queue=True
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
