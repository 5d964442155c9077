"""The chain over HTTP, for threads."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Sequence
from typing import Any

from ensembles.errors import DeadlineExceeded, ServerUnavailable
from serving import http_wire
from serving.messages import BARE, Sent, WireTensor
from serving.options import CONTROL_SECONDS, TOKEN_HEADER
from serving.tls import TLS


class HttpTransport:
    """One kept connection a thread."""

    def __init__(self, address: str, tls: TLS | None = None) -> None:
        http_wire.check_address(address, tls)
        self._address = address
        self._kept = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def infer(
        self, model: str, tensors: Sequence[WireTensor], timeout: float, sent: Sent = BARE
    ) -> tuple[dict[str, bytes], str]:
        """As any transport."""
        body, headers = http_wire.body(tensors, sent.request_id)
        headers |= sent.headers
        content, length = self._post(http_wire.path(model), body, headers, timeout)
        return http_wire.contents(content, length)

    def register(self, name: str, size: int, token: str) -> None:
        """Make a region known to the server, or raise a RequestError."""
        body = json.dumps({"key": f"/{name}", "offset": 0, "byte_size": size}).encode()
        path = f"/v2/systemsharedmemory/region/{name}/register"
        self._post(path, body, {TOKEN_HEADER: token}, CONTROL_SECONDS)

    def unregister(self, name: str, token: str) -> None:
        """The reverse."""
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
        """Release connections."""
        for connection in self._all:
            connection.close()
