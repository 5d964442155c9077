"""Locust users who send prepared requests, one after the other, over gRPC or HTTP.

Importing this file imports Locust, which replaces the standard library's sockets and threads
by gevent's: it belongs into a process of its own (``loadtest.generator``, or ``locust`` itself).
All users of a process share one client, because a client each can hang the process at its end.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

from locust import User, constant, task  # first of all: it makes the standard library cooperative

import gevent  # isort: skip
import geventhttpclient  # isort: skip

from ensembles.errors import RequestError
from loadtest.grpc_channel import Channel
from loadtest.traffic import PreparedRequest, Protocol, prepare, requests_for
from serving import http_wire

PROBE = "round trip only"
"""Name under which these are reported; the others bear the name of the ensemble."""
PROBE_EVERY = 10
"""One request in so many is followed by one that no step sees, to time the round trip alone."""
REQUEST_SECONDS = 10.0
"""How long a request may take before it counts as an error."""
_SERVICE = "/inference.GRPCInferenceService"


class Reply(NamedTuple):
    """An answer as it came; over HTTP with the length of its JSON part."""

    content: bytes
    json_length: str | None = None


class PreparedUser(User):
    """Sends the next prepared request as soon as the last one is answered (a closed loop)."""

    abstract = True
    wait_time = constant(0)
    protocol: ClassVar[Protocol]
    _ensemble: ClassVar[str]
    _requests: ClassVar[Iterator[PreparedRequest]]
    _turns: ClassVar[Iterator[int]]

    @classmethod
    def ready(cls, host: str, port: int, repository: Path, ensemble: str, seed: int) -> None:
        """Draw what to send, and connect; once per process and before any user starts.

        Raises:
            LoadTestError: the release in ``repository`` has no such ensemble, or no users.
        """
        cls._ensemble = ensemble
        requests = requests_for(repository, ensemble, seed)
        cls._requests = itertools.cycle(prepare(cls.protocol, requests))
        cls._turns = itertools.count(1)
        cls.connect(host, port)

    @classmethod
    @abstractmethod
    def connect(cls, host: str, port: int) -> None:
        """Open the one client that all users share."""

    @abstractmethod
    def ask(self, request: PreparedRequest) -> Reply:
        """Send a request; its answer, or a RequestError."""

    @abstractmethod
    def probe(self) -> Reply:
        """Ask whether the server is alive, over the same connection; as ``ask`` otherwise."""

    @task
    def recommend(self) -> None:
        """One request, and now and then a probe."""
        self._timed(self._ensemble, self.ask, next(self._requests))
        if next(self._turns) % PROBE_EVERY == 0:
            self._timed(PROBE, self.probe)

    def _timed(self, name: str, send: Callable[..., Reply], *request: PreparedRequest) -> None:
        length, error = 0, None
        start = perf_counter()
        try:
            length = len(send(*request).content)
        except RequestError as e:
            error = e
        self.environment.events.request.fire(
            request_type=self.protocol.value,
            name=name,
            response_time=(perf_counter() - start) * 1000,
            response_length=length,
            exception=error,
            context={},
        )
        if error:
            gevent.sleep(0.01)  # a server that refuses at once is not to be flooded


class GrpcUser(PreparedUser):
    """Sends serialised messages over one multiplexed gRPC connection."""

    abstract = False
    protocol = Protocol.GRPC
    _channel: ClassVar[Channel]

    @classmethod
    def connect(cls, host: str, port: int) -> None:
        """Make the channel; it connects when first asked."""
        cls._channel = Channel(host, port)

    def ask(self, request: PreparedRequest) -> Reply:
        """Call ModelInfer."""
        return Reply(self._channel.call(f"{_SERVICE}/ModelInfer", request.body, REQUEST_SECONDS))

    def probe(self) -> Reply:
        """Call ServerLive; its request has no fields, and so no bytes."""
        return Reply(self._channel.call(f"{_SERVICE}/ServerLive", b"", REQUEST_SECONDS))


class BinaryHttpUser(PreparedUser):
    """Posts binary tensors, over kept connections."""

    abstract = False
    protocol = Protocol.HTTP
    _client: ClassVar[Any]

    @classmethod
    def connect(cls, host: str, port: int) -> None:
        """Make the client; it opens connections as they are needed."""
        cls._client = geventhttpclient.HTTPClient(
            host,
            port,
            concurrency=1024,  # connections at most
            connection_timeout=REQUEST_SECONDS,
            network_timeout=REQUEST_SECONDS,
        )

    def ask(self, request: PreparedRequest) -> Reply:
        """Post to the chain."""
        path = http_wire.path(request.ensemble)
        return self._send("POST", path, request.body, request.headers)

    def probe(self) -> Reply:
        """Get the health."""
        return self._send("GET", "/v2/health/live", b"", {})

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        try:
            response = self._client.request(method, path, body, headers)
            answer: bytes = response.read()
        except (OSError, HTTPException) as e:
            raise RequestError(f"no answer: {e!r}") from e
        if response.status_code != 200:
            raise RequestError(f"HTTP {response.status_code}: {answer.decode(errors='replace')}")
        return Reply(answer, response.get(http_wire.LENGTH_HEADER))
