"""A gRPC client for load: unary calls of prepared bytes over one HTTP/2 connection (RFC 9113).

The official client under gevent keeps a thread waiting for every call and wakes three threads
for every answer; on a busy machine it then measures itself. Here a call is one write, and one
greenlet reads all answers. It knows only what load needs: small messages, no compression, no TLS.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import gevent
from gevent import socket
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore

from ensembles.errors import LoadTestError, RequestError

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_MAX_WINDOW = 2**31 - 1
_FIRST_WINDOW = 65_535
_MAX_MESSAGE = 16_384 - 5
"""One frame of the size that every server takes, less gRPC's own prefix."""
# No table of earlier headers, so that each answer's headers stand for themselves; no push;
# and windows so wide that the server never waits for leave to send.
_OUR_SETTINGS = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _MAX_WINDOW)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(text: str) -> bytes:
    """A string of the header compression (RFC 7541), up to 126 bytes, not compressed."""
    return bytes([len(text)]) + text.encode("ascii")


@dataclass
class _Call:
    """A call in flight. A unary call that succeeds brings a message; one that fails, none."""

    done: AsyncResult = field(default_factory=AsyncResult)
    body: bytearray = field(default_factory=bytearray)

    def take(self, kind: int, flags: int, payload: bytes) -> None:
        """A frame of this call's stream."""
        if kind == _DATA:
            self.body += payload
        elif kind == _RST_STREAM:
            code = int.from_bytes(payload, "big")
            self.done.set_exception(RequestError(f"the server ended the call: HTTP/2 error {code}"))
            return
        if flags & _END_STREAM and kind in {_DATA, _HEADERS}:
            if len(self.body) >= 5:
                self.done.set(bytes(self.body[5:]))
            else:
                self.done.set_exception(RequestError(f"no answer, but: {_text(payload)}"))


class Channel:
    """One connection, shared by all greenlets of a process; it is opened again after a failure."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._connection: _Connection | None = None
        self._connecting = BoundedSemaphore()

    def call(self, path: str, message: bytes, seconds: float) -> bytes:
        """Send ``message`` to the method at ``path``; the answer's message.

        Raises:
            RequestError: no connection, no answer in time, or an answer that is an error.
            LoadTestError: the message is larger than one frame.
        """
        if len(message) > _MAX_MESSAGE:
            raise LoadTestError(f"a message has up to {_MAX_MESSAGE} bytes; got {len(message)}")
        try:
            with gevent.Timeout(seconds, TimeoutError(f"{seconds:g} s passed")):
                return self._open().call(path, message)
        except OSError as e:  # a timeout is one, too
            raise RequestError(f"no answer: {e}") from e

    def _open(self) -> _Connection:
        with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = _Connection(*self._address)
            return self._connection

    def close(self) -> None:
        """End the connection; calls in flight fail."""
        if self._connection is not None:
            self._connection.close()


class _Connection:
    """Streams of one connection; after an error it is closed, and stays so."""

    def __init__(self, host: str, port: int) -> None:
        self.closed = False
        self._authority = f"{host}:{port}"
        self._calls: dict[int, _Call] = {}
        self._next_stream = 1
        self._window = _FIRST_WINDOW
        self._widened = Event()
        self._received = 0
        self._writing = BoundedSemaphore()
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(_SETTINGS, 0, 0, _OUR_SETTINGS)
            + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _MAX_WINDOW - _FIRST_WINDOW))
        )
        self._reader = gevent.spawn(self._read_all)

    def call(self, path: str, message: bytes) -> bytes:
        """Send a message, and wait for the answer's; one that comes too late is dropped."""
        size = len(message) + 5
        while self._window < size and not self.closed:
            self._widened.clear()
            self._widened.wait()
        if self.closed:
            raise ConnectionError("the connection was closed")
        self._window -= size
        stream, call = self._next_stream, _Call()
        self._next_stream += 2
        self._calls[stream] = call
        try:
            self._write(
                _frame(_HEADERS, _END_HEADERS, stream, _headers(path, self._authority))
                + _frame(_DATA, _END_STREAM, stream, struct.pack(">BI", 0, len(message)) + message)
            )
            return bytes(call.done.get())
        finally:
            self._calls.pop(stream, None)

    def close(self) -> None:
        """End the reading, and with it everything else."""
        self._reader.kill(ConnectionError("the connection was closed"))

    def _write(self, content: bytes) -> None:
        with self._writing:
            self._socket.sendall(content)

    def _read_all(self) -> None:
        try:
            for kind, flags, stream, payload in _frames(self._socket.recv):
                self._take(kind, flags, stream, payload)
            failure: OSError = ConnectionError("the server closed the connection")
        except OSError as e:
            failure = e
        self.closed = True
        self._widened.set()
        self._socket.close()
        for call in self._calls.values():
            call.done.set_exception(failure)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._make_room(len(payload))
        call = self._calls.get(stream)
        if call is not None:
            call.take(kind, flags, payload)
        elif kind == _SETTINGS and not flags & _ACK:
            self._write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._write(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
            self._widened.set()
        elif kind == _GOAWAY:
            raise ConnectionError(f"the server ends the connection: {_text(payload)}")

    def _make_room(self, size: int) -> None:
        """Let the server send as much again, before it has used up the window."""
        self._received += size
        if self._received > _MAX_WINDOW // 2:
            self._write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received)))
            self._received = 0


def _headers(path: str, authority: str) -> bytes:
    # Static table: 3 is POST, 6 is http; names 4 :path, 1 :authority, 31 content-type.
    return (
        b"\x83\x86\x04"
        + _literal(path)
        + b"\x01"
        + _literal(authority)
        + b"\x0f\x10"
        + _literal("application/grpc")
        + b"\x00"
        + _literal("te")
        + _literal("trailers")
    )


def _frames(receive: Callable[[int], bytes]) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame, until the other side ends."""
    buffer = b""
    while chunk := receive(65_536):
        buffer += chunk
        at = 0
        while len(buffer) >= at + 9:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBI", buffer, at)
            end = at + 9 + (high << 16) + low
            if len(buffer) < end:
                break
            yield kind, flags, stream, buffer[at + 9 : end]
            at = end
        buffer = buffer[at:]


def _text(block: bytes) -> str:
    """What is readable in compressed headers, such as gRPC's status and message."""
    return " ".join(run.decode() for run in re.findall(rb"[ -~]{4,}", block))
