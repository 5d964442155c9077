"""A client of the chain; ``AsyncClient`` in ``async_client`` is its twin for asyncio."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self, TypeVar

from ensembles.errors import DeadlineExceeded, RequestError, ServerUnavailable, SettingsError
from serving import grpc_wire, http_wire
from serving.messages import (
    Recommendation,
    Request,
    WireTensor,
    check_pictures_are_taken,
    decode,
    encode,
    ensemble_for,
)
from serving.options import GRPC_TOKEN_HEADER, TOKEN_HEADER
from serving.shared_memory import SharedPictures

__all__ = ["Client", "Recommendation", "Request"]

ProtocolName = Literal["grpc", "http"]
Choice = TypeVar("Choice")
RETRY_SECONDS = 0.05
"""Pause before the one retry."""
CONTROL_SECONDS = 5.0
"""For registering shared memory."""


class Transport(Protocol):
    """Sends tensors one way, brings tensors and a version back."""

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float
    ) -> tuple[dict[str, bytes], str]:
        """Raise a RequestError when there is no answer."""

    def close(self) -> None:
        """Release connections."""


def named(protocol: str, transports: Mapping[str, Choice]) -> Choice:
    """The transport of that name.

    Raises:
        SettingsError: there is none.
    """
    if protocol not in transports:
        raise SettingsError(f"protocol is one of {sorted(transports)}; got {protocol!r}")
    return transports[protocol]


class Client:
    """Asks a server for recommendations; threads may share one.

    A request that nobody answered is sent once more within its deadline: asking changes nothing
    on the server, so that is safe. Wrong requests and missed deadlines are never repeated.
    """

    def __init__(
        self,
        address: str,
        protocol: ProtocolName = "grpc",
        *,
        timeout: float = 5.0,
        model: str | None = None,
        shared_memory: bool = False,
        token: str = "",
    ) -> None:
        """Connects when first asked.

        Args:
            address: ``host:port`` of the front end for ``protocol``.
            timeout: deadline of a call in seconds, where the call names none.
            model: the ensemble to ask; None is ``recommend_visual`` for requests with pictures
                and ``recommend`` for others.
            shared_memory: hand pictures over in shared memory; for a server on this machine.
            token: the server's control token, that shared memory needs.

        Raises:
            SettingsError: no such protocol, or shared memory without a token.
            MissingExtra: tritonclient is not installed.
        """
        transports: dict[str, Callable[[str], _GrpcTransport | _HttpTransport]] = {
            "grpc": _GrpcTransport,
            "http": _HttpTransport,
        }
        plain = named(protocol, transports)(address)
        self._transport: Transport = SharedPictures(plain, token) if shared_memory else plain
        self._timeout = timeout
        self._model = model

    def recommend(self, request: Request, *, timeout: float | None = None) -> Recommendation:
        """The answer to one request.

        Raises:
            InvalidRequest: something is wrong with it, or the release takes no pictures.
            DeadlineExceeded: no answer within ``timeout`` seconds.
            ServerUnavailable: nobody answers, or the server is overloaded.
            RequestError: the server failed.
        """
        return self.recommend_many([request], timeout=timeout)[0]

    def recommend_many(
        self, requests: Sequence[Request], *, timeout: float | None = None
    ) -> list[Recommendation]:
        """The answers to up to ``MAX_BATCH`` requests, sent as the rows of a single one.

        One wrong row fails them all, and either all of them have a picture or none. Raises what
        ``recommend`` raises.
        """
        tensors = encode(requests)
        start = time.perf_counter()
        deadline = start + (self._timeout if timeout is None else timeout)
        try:
            reply = self._infer(tensors, deadline)
        except ServerUnavailable:
            if time.perf_counter() + RETRY_SECONDS >= deadline:
                raise
            time.sleep(RETRY_SECONDS)
            reply = self._infer(tensors, deadline)
        contents, release = reply
        return decode(contents, len(requests), release, time.perf_counter() - start)

    def _infer(
        self, tensors: Sequence[WireTensor], deadline: float
    ) -> tuple[dict[str, bytes], str]:
        left = deadline - time.perf_counter()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before the request was sent")
        model = self._model or ensemble_for(tensors)
        try:
            return self._transport.infer(model, tensors, left)
        except RequestError as e:
            check_pictures_are_taken(e, model)
            raise

    def close(self) -> None:
        """Release connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _GrpcTransport:
    def __init__(self, address: str) -> None:
        self._grpc, self._messages, services = grpc_wire.load()
        self._channel = self._grpc.insecure_channel(address)
        self._stub = services.GRPCInferenceServiceStub(self._channel)

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float
    ) -> tuple[dict[str, bytes], str]:
        message = grpc_wire.message(self._messages, model, tensors)
        try:
            return grpc_wire.contents(self._stub.ModelInfer(message, timeout=timeout))
        except self._grpc.RpcError as e:
            raise grpc_wire.error(e) from None

    def register(self, name: str, size: int, token: str) -> None:
        region = self._messages.SystemSharedMemoryRegisterRequest(
            name=name, key=f"/{name}", byte_size=size
        )
        self._control(self._stub.SystemSharedMemoryRegister, region, token)

    def unregister(self, name: str, token: str) -> None:
        region = self._messages.SystemSharedMemoryUnregisterRequest(name=name)
        self._control(self._stub.SystemSharedMemoryUnregister, region, token)

    def _control(self, call: Any, message: Any, token: str) -> None:
        try:
            call(message, timeout=CONTROL_SECONDS, metadata=((GRPC_TOKEN_HEADER, token),))
        except self._grpc.RpcError as e:
            raise grpc_wire.error(e) from None

    def close(self) -> None:
        self._channel.close()


class _HttpTransport:
    """One kept connection a thread."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._kept = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float
    ) -> tuple[dict[str, bytes], str]:
        body, headers = http_wire.body(tensors)
        content, length = self._post(http_wire.path(model), body, headers, timeout)
        return http_wire.contents(content, length)

    def register(self, name: str, size: int, token: str) -> None:
        body = json.dumps({"key": f"/{name}", "offset": 0, "byte_size": size}).encode()
        path = f"/v2/systemsharedmemory/region/{name}/register"
        self._post(path, body, {TOKEN_HEADER: token}, CONTROL_SECONDS)

    def unregister(self, name: str, token: str) -> None:
        path = f"/v2/systemsharedmemory/region/{name}/unregister"
        self._post(path, b"", {TOKEN_HEADER: token}, CONTROL_SECONDS)

    def _post(
        self, path: str, body: bytes, headers: dict[str, str], timeout: float
    ) -> tuple[bytes, str | None]:
        connection = self._connection(timeout)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError:
            connection.close()
            raise DeadlineExceeded(f"no answer within {timeout:g} s") from None
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            raise ServerUnavailable(f"no answer from {self._address}: {e!r}") from e
        if answer.status != 200:
            raise http_wire.error(answer.status, content)
        return content, answer.getheader(http_wire.LENGTH_HEADER)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        connection: Any = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._kept.connection = http.client.HTTPConnection(self._address)
            self._all.append(connection)
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection  # type: ignore[no-any-return]

    def close(self) -> None:
        for connection in self._all:
            connection.close()
