"""``Client`` for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from ensembles.errors import DeadlineExceeded, MissingExtra, RequestError, ServerUnavailable
from ensembles.record import RECORD
from serving import grpc_wire, http_wire
from serving.client import RETRY_SECONDS, ProtocolName, named
from serving.events import Event, Recorded, check_recorded, decode_recorded, encode_events
from serving.grpc_channel import named_tls, open_channel
from serving.messages import (
    BARE,
    Recommendation,
    Request,
    Sent,
    WireTensor,
    check_pictures_are_taken,
    decode,
    encode,
    ensemble_for,
)
from serving.request_id import new_request_id, request_id_of
from serving.tls import TLS
from serving.trace_context import call_span


class AsyncTransport(Protocol):
    """Sends tensors one way, brings tensors and a version back."""

    async def infer(
        self, model: str, tensors: Sequence[WireTensor], seconds: float, sent: Sent = BARE
    ) -> tuple[dict[str, bytes], str]:
        """Raise a RequestError when there is no answer."""

    async def close(self) -> None:
        """Release connections."""


class AsyncClient:
    """Asks for recommendations and records events; as ``Client``, including its one retry."""

    def __init__(
        self,
        address: str,
        protocol: ProtocolName = "grpc",
        *,
        timeout: float = 5.0,
        model: str | None = None,
        tls: TLS | None = None,
    ) -> None:
        """Make it inside a running event loop. Arguments and errors as in ``Client``."""
        transports: dict[str, Callable[[str, TLS | None], AsyncTransport]] = {
            "grpc": _GrpcTransport,
            "http": _HttpTransport,
        }
        self._transport = named(protocol, transports)(address, tls)
        self._timeout = timeout
        self._model = model

    async def recommend(
        self,
        request: Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        request_id: str | None = None,
    ) -> Recommendation:
        """The answer to one request; raises what ``Client.recommend`` raises."""
        return (await self.recommend_many([request], timeout=timeout, request_id=request_id))[0]

    async def recommend_many(
        self,
        requests: Sequence[Request],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        request_id: str | None = None,
    ) -> list[Recommendation]:
        """The answers to the rows of a single request; see ``Client.recommend_many``."""
        tensors = encode(requests)
        model = self._model or ensemble_for(tensors)
        request_id = request_id_of(request_id)
        start = time.perf_counter()
        contents, release = await self._asked(model, tensors, len(requests), timeout, request_id)
        return decode(contents, len(requests), release, time.perf_counter() - start, request_id)

    async def record(
        self,
        event: Event,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Recorded:
        """Store what a user did; see ``Client.record``."""
        return (await self.record_many([event], timeout=timeout))[0]

    async def record_many(
        self,
        events: Sequence[Event],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[Recorded]:
        """Store events, all or none; see ``Client.record_many``."""
        tensors, request_id = encode_events(events), new_request_id()
        contents, _ = await self._asked(RECORD.name, tensors, len(events), timeout, request_id)
        return decode_recorded(contents, events)

    async def _asked(
        self,
        model: str,
        tensors: Sequence[WireTensor],
        rows: int,
        timeout: float | None,  # noqa: ASYNC109
        request_id: str,
    ) -> tuple[dict[str, bytes], str]:
        """Tensors and release of the answer; asks once more where nobody answered."""
        deadline = time.perf_counter() + (self._timeout if timeout is None else timeout)
        with call_span(request_id, rows) as headers:
            sent = Sent(request_id, headers)
            try:
                return await self._infer(model, tensors, deadline, sent)
            except ServerUnavailable:
                if time.perf_counter() + RETRY_SECONDS >= deadline:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
                return await self._infer(model, tensors, deadline, sent)

    async def _infer(
        self, model: str, tensors: Sequence[WireTensor], deadline: float, sent: Sent
    ) -> tuple[dict[str, bytes], str]:
        left = deadline - time.perf_counter()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before the request was sent")
        try:
            return await self._transport.infer(model, tensors, left, sent)
        except RequestError as e:
            check_pictures_are_taken(e, model)
            check_recorded(e)
            raise

    async def close(self) -> None:
        """Release connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class _GrpcTransport:
    def __init__(self, address: str, tls: TLS | None = None) -> None:
        self._grpc, self._messages, services = grpc_wire.load()
        self._tls = tls
        self._channel = open_channel(self._grpc, self._grpc.aio, address, tls)
        self._stub = services.GRPCInferenceServiceStub(self._channel)

    async def infer(
        self, model: str, tensors: Sequence[WireTensor], seconds: float, sent: Sent = BARE
    ) -> tuple[dict[str, bytes], str]:
        message = grpc_wire.message(self._messages, model, tensors, sent.request_id)
        metadata = tuple(sent.headers.items()) or None
        try:
            reply = await self._stub.ModelInfer(message, timeout=seconds, metadata=metadata)
        except self._grpc.RpcError as e:
            raise named_tls(grpc_wire.error(e), self._tls) from None
        return grpc_wire.contents(reply)

    async def close(self) -> None:
        # Requests in flight may finish: the server can crash when their callers vanish.
        await self._channel.close(grace=1.0)


class _HttpTransport:
    def __init__(self, address: str, tls: TLS | None = None) -> None:
        http_wire.check_address(address, tls)
        try:
            import aiohttp
        except ImportError as e:
            raise MissingExtra("aiohttp (part of tritonclient[http])", "serve") from e
        self._aiohttp: Any = aiohttp
        self._address = address
        self._session = aiohttp.ClientSession(f"http://{address}")

    async def infer(
        self, model: str, tensors: Sequence[WireTensor], seconds: float, sent: Sent = BARE
    ) -> tuple[dict[str, bytes], str]:
        body, headers = http_wire.body(tensors, sent.request_id)
        headers |= sent.headers
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
