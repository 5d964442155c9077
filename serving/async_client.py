"""``Client`` for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from ensembles.errors import DeadlineExceeded, MissingExtra, RequestError, ServerUnavailable
from serving import grpc_wire, http_wire
from serving.client import RETRY_SECONDS, ProtocolName, named
from serving.messages import (
    Recommendation,
    Request,
    WireTensor,
    check_pictures_are_taken,
    decode,
    encode,
    ensemble_for,
)


class AsyncTransport(Protocol):
    """Sends tensors one way, brings tensors and a version back."""

    async def infer(
        self, model: str, tensors: Sequence[WireTensor], seconds: float
    ) -> tuple[dict[str, bytes], str]:
        """Raise a RequestError when there is no answer."""

    async def close(self) -> None:
        """Release connections."""


class AsyncClient:
    """Asks a server for recommendations; as ``Client``, including its one retry."""

    def __init__(
        self,
        address: str,
        protocol: ProtocolName = "grpc",
        *,
        timeout: float = 5.0,
        model: str | None = None,
    ) -> None:
        """Make it inside a running event loop. Arguments and errors as in ``Client``."""
        transports: dict[str, Callable[[str], AsyncTransport]] = {
            "grpc": _GrpcTransport,
            "http": _HttpTransport,
        }
        self._transport = named(protocol, transports)(address)
        self._timeout = timeout
        self._model = model

    async def recommend(
        self,
        request: Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Recommendation:
        """The answer to one request; raises what ``Client.recommend`` raises."""
        return (await self.recommend_many([request], timeout=timeout))[0]

    async def recommend_many(
        self,
        requests: Sequence[Request],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[Recommendation]:
        """The answers to the rows of a single request; see ``Client.recommend_many``."""
        tensors = encode(requests)
        start = time.perf_counter()
        deadline = start + (self._timeout if timeout is None else timeout)
        try:
            reply = await self._infer(tensors, deadline)
        except ServerUnavailable:
            if time.perf_counter() + RETRY_SECONDS >= deadline:
                raise
            await asyncio.sleep(RETRY_SECONDS)
            reply = await self._infer(tensors, deadline)
        contents, release = reply
        return decode(contents, len(requests), release, time.perf_counter() - start)

    async def _infer(
        self, tensors: Sequence[WireTensor], deadline: float
    ) -> tuple[dict[str, bytes], str]:
        left = deadline - time.perf_counter()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before the request was sent")
        model = self._model or ensemble_for(tensors)
        try:
            return await self._transport.infer(model, tensors, left)
        except RequestError as e:
            check_pictures_are_taken(e, model)
            raise

    async def close(self) -> None:
        """Release connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class _GrpcTransport:
    def __init__(self, address: str) -> None:
        self._grpc, self._messages, services = grpc_wire.load()
        self._channel = self._grpc.aio.insecure_channel(address)
        self._stub = services.GRPCInferenceServiceStub(self._channel)

    async def infer(
        self, model: str, tensors: Sequence[WireTensor], seconds: float
    ) -> tuple[dict[str, bytes], str]:
        message = grpc_wire.message(self._messages, model, tensors)
        try:
            return grpc_wire.contents(await self._stub.ModelInfer(message, timeout=seconds))
        except self._grpc.RpcError as e:
            raise grpc_wire.error(e) from None

    async def close(self) -> None:
        # Requests in flight may finish: the server can crash when their callers vanish.
        await self._channel.close(grace=1.0)


class _HttpTransport:
    def __init__(self, address: str) -> None:
        try:
            import aiohttp
        except ImportError as e:
            raise MissingExtra("aiohttp (part of tritonclient[http])", "serve") from e
        self._aiohttp: Any = aiohttp
        self._address = address
        self._session = aiohttp.ClientSession(f"http://{address}")

    async def infer(
        self, model: str, tensors: Sequence[WireTensor], seconds: float
    ) -> tuple[dict[str, bytes], str]:
        body, headers = http_wire.body(tensors)
        limit = self._aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.post(
                http_wire.path(model), data=body, headers=headers, timeout=limit
            ) as answer:
                content = await answer.read()
        except TimeoutError:
            raise DeadlineExceeded(f"no answer within {seconds:g} s") from None
        except (OSError, self._aiohttp.ClientError) as e:
            raise ServerUnavailable(f"no answer from {self._address}: {e!r}") from e
        if answer.status != 200:
            raise http_wire.error(answer.status, content)
        return http_wire.contents(content, answer.headers.get(http_wire.LENGTH_HEADER))

    async def close(self) -> None:
        await self._session.close()
