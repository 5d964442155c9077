"""A client of the chain; ``AsyncClient`` in ``async_client`` is its twin for asyncio."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self, TypeVar

from ensembles.errors import DeadlineExceeded, RequestError, ServerUnavailable, SettingsError
from ensembles.record import RECORD
from serving import grpc_wire
from serving.events import Event, Recorded, check_recorded, decode_recorded, encode_events
from serving.grpc_channel import named_tls, open_channel
from serving.http_transport import HttpTransport
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
from serving.options import CONTROL_SECONDS, GRPC_TOKEN_HEADER
from serving.request_id import new_request_id, request_id_of
from serving.shared_memory import SharedPictures
from serving.tls import TLS
from serving.trace_context import call_span

__all__ = ["TLS", "Client", "Event", "Recommendation", "Recorded", "Request"]

ProtocolName = Literal["grpc", "http"]
Choice = TypeVar("Choice")
RETRY_SECONDS = 0.05
"""Pause before the one retry."""


class Transport(Protocol):
    """Sends tensors one way, brings tensors and a version back."""

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float, sent: Sent = BARE
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
    """Asks a server for recommendations, and tells it what users did; threads may share one.

    A request that nobody answered is sent once more within its deadline. That is safe: asking
    changes nothing on the server, and an event is stored once by its id. Wrong requests and missed
    deadlines are never repeated.
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
        tls: TLS | None = None,
    ) -> None:
        """Connects when first asked.

        Args:
            address: ``host:port`` of the front end for ``protocol``. Several servers behind one
                name are asked in turn over gRPC: ``dns:///name:8001``, or
                ``ipv4:10.0.0.1:8001,10.0.0.2:8001``.
            timeout: deadline of a call in seconds, where the call names none.
            model: the ensemble to ask; None is ``recommend_visual`` for requests with pictures
                and ``recommend`` for others.
            shared_memory: hand pictures over in shared memory; for a server on this machine.
            token: the server's control token, that shared memory needs.
            tls: what to trust and show; None speaks without TLS. For gRPC only.

        Raises:
            SettingsError: no such protocol, shared memory without a token, or TLS over HTTP.
            MissingExtra: tritonclient is not installed.
        """
        transports: dict[str, Callable[[str, TLS | None], _GrpcTransport | HttpTransport]] = {
            "grpc": _GrpcTransport,
            "http": HttpTransport,
        }
        plain = named(protocol, transports)(address, tls)
        self._transport: Transport = SharedPictures(plain, token) if shared_memory else plain
        self._timeout = timeout
        self._model = model

    def recommend(
        self, request: Request, *, timeout: float | None = None, request_id: str | None = None
    ) -> Recommendation:
        """The answer to one request.

        Args:
            request_id: decides what is explored and whether the answer is logged, so the same id
                asks for the same; "" for neither, None for a new one.

        Raises:
            InvalidRequest: something is wrong with it, or the release takes no pictures.
            DeadlineExceeded: no answer within ``timeout`` seconds.
            ServerUnavailable: nobody answers, or the server is overloaded.
            RequestError: the server failed.
        """
        return self.recommend_many([request], timeout=timeout, request_id=request_id)[0]

    def recommend_many(
        self,
        requests: Sequence[Request],
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> list[Recommendation]:
        """The answers to up to ``MAX_BATCH`` requests, sent as the rows of a single one.

        One wrong row fails them all, and either all of them have a picture or none. Raises what
        ``recommend`` raises.
        """
        tensors = encode(requests)
        model = self._model or ensemble_for(tensors)
        request_id = request_id_of(request_id)
        start = time.perf_counter()
        contents, release = self._asked(model, tensors, len(requests), timeout, request_id)
        return decode(contents, len(requests), release, time.perf_counter() - start, request_id)

    def record(self, event: Event, *, timeout: float | None = None) -> Recorded:
        """Store what a user did; when this returns, it is durable and recommendations see it.

        It may be sent again, by this client or a caller: an event id is stored once.

        Raises:
            InvalidRequest: something is wrong with it, or the server records nothing.
            RateLimited: more events of one user than the server takes.
            DeadlineExceeded: no answer within ``timeout`` seconds; it may be stored or not.
            ServerUnavailable: nobody answers, or the server cannot write its user state.
            RequestError: the server failed.
        """
        return self.record_many([event], timeout=timeout)[0]

    def record_many(
        self, events: Sequence[Event], *, timeout: float | None = None
    ) -> list[Recorded]:
        """Store up to ``MAX_BATCH`` events, all or none; raises what ``record`` raises."""
        tensors, request_id = encode_events(events), new_request_id()
        contents, _ = self._asked(RECORD.name, tensors, len(events), timeout, request_id)
        return decode_recorded(contents, events)

    def _asked(
        self,
        model: str,
        tensors: Sequence[WireTensor],
        rows: int,
        timeout: float | None,
        request_id: str,
    ) -> tuple[dict[str, bytes], str]:
        """Tensors and release of the answer; asks once more where nobody answered."""
        deadline = time.perf_counter() + (self._timeout if timeout is None else timeout)
        with call_span(request_id, rows) as headers:
            sent = Sent(request_id, headers)
            try:
                return self._infer(model, tensors, deadline, sent)
            except ServerUnavailable:
                if time.perf_counter() + RETRY_SECONDS >= deadline:
                    raise
                time.sleep(RETRY_SECONDS)
                return self._infer(model, tensors, deadline, sent)

    def _infer(
        self, model: str, tensors: Sequence[WireTensor], deadline: float, sent: Sent
    ) -> tuple[dict[str, bytes], str]:
        left = deadline - time.perf_counter()
        if left <= 0:
            raise DeadlineExceeded("the deadline passed before the request was sent")
        try:
            return self._transport.infer(model, tensors, left, sent)
        except RequestError as e:
            check_pictures_are_taken(e, model)
            check_recorded(e)
            raise

    def close(self) -> None:
        """Release connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _GrpcTransport:
    def __init__(self, address: str, tls: TLS | None = None) -> None:
        self._grpc, self._messages, services = grpc_wire.load()
        self._tls = tls
        self._channel = open_channel(self._grpc, self._grpc, address, tls)
        self._stub = services.GRPCInferenceServiceStub(self._channel)

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float, sent: Sent = BARE
    ) -> tuple[dict[str, bytes], str]:
        message = grpc_wire.message(self._messages, model, tensors, sent.request_id)
        metadata = tuple(sent.headers.items()) or None
        try:
            reply = self._stub.ModelInfer(message, timeout=timeout, metadata=metadata)
        except self._grpc.RpcError as e:
            raise named_tls(grpc_wire.error(e), self._tls) from None
        return grpc_wire.contents(reply)

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
