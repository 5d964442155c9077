"""MLServer: a custom runtime behind adaptive batching and two parallel workers; JSON bodies."""

from __future__ import annotations

import asyncio
import os
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse

from loadtest.peers.chain import REPOSITORY_VARIABLE, Chain
from loadtest.peers.wire import read_json, write_json


class Recommend(MLModel):  # type: ignore[misc]
    """What a worker holds."""

    async def load(self) -> bool:
        """Open the chain, once a worker."""
        self.chain = Chain.named()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """A batch: MLServer has stacked the requests' rows into one."""
        tensors = read_json(payload.model_dump())
        (answer,) = self.chain.answer([tensors])
        return InferenceResponse(**write_json(answer))


async def serve(port: int) -> None:
    """Run until stopped."""
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_endpoint=None,
        parallel_workers=2,
        debug=False,
    )
    model = ModelSettings(
        name="recommend",
        implementation="loadtest.peers.servers.mlserver_app.Recommend",
        max_batch_size=64,
        max_batch_time=0.001,
        parameters=ModelParameters(uri=os.environ[REPOSITORY_VARIABLE]),
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
