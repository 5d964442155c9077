"""FastAPI: binary bodies; uvicorn starts two workers, each with a chain of its own."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from loadtest.peers.chain import Chain
from loadtest.peers.wire import read_binary, write_binary
from serving.http_wire import LENGTH_HEADER, path

app = FastAPI()
chain = Chain.named()


@app.post(path("recommend"))  # type: ignore[untyped-decorator]
async def infer(request: Request) -> Response:
    """One request, answered on the event loop: a thread's hand-over costs more than it gains."""
    tensors = read_binary(await request.body(), request.headers.get(LENGTH_HEADER))
    (answer,) = chain.answer([tensors])
    body, headers = write_binary(answer)
    return Response(body, headers=headers)
