"""A gRPC client for load: unary calls of prepared bytes over one HTTP/2 connection.

The official client under gevent keeps a thread waiting for every call and wakes three threads
for every answer; on a busy machine it then measures itself. Here one greenlet writes what all
calls send, and one reads all answers. It knows only what load needs: no compression, no TLS, and
no limit on streams, because servers of gRPC set none.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
from gevent import socket
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore

from ensembles.contracts import LIMITS
from ensembles.errors import LoadTestError, RequestError
from loadtest import http2 as h

MAX_MESSAGE = LIMITS.image_bytes + 1_000_000
"""Bytes of a message: the largest picture, and what comes with it."""
_AT_ONCE = 65_536
"""Bytes handed to the kernel in one go; whoever has more to send waits for the next turn."""
# No table of earlier headers, so that each answer's headers stand for themselves; no push;
# and windows so wide that the server never waits for leave to send.
_OUR_SETTINGS = struct.pack(">HIHIHI", 1, 0, 2, 0, h.INITIAL_WINDOW_SIZE, h.MAX_WINDOW)


@dataclass
class _Call:
    """A call in flight. A unary call that succeeds brings a message; one that fails, none.

    Attributes:
        unsent: the rest of the message.
        window: bytes that the server takes of it now; may fall below 0 (RFC 9113, 6.9.2).
    """

    stream: int
    unsent: memoryview
    window: int
    done: AsyncResult = field(default_factory=AsyncResult)
    body: bytearray = field(default_factory=bytearray)

    def take(self, kind: int, flags: int, payload: bytes) -> None:
        """A frame of this call's stream."""
        if kind == h.DATA:
            self.body += payload
        elif kind == h.WINDOW_UPDATE:
            self.window += int.from_bytes(payload, "big")
        elif kind == h.RST_STREAM:
            self.unsent = self.unsent[:0]
        if self.done.ready():
            return  # a server that has answered may end what it does not want to read
        if kind == h.RST_STREAM:
            code = int.from_bytes(payload, "big")
            self.done.set_exception(RequestError(f"the server ended the call: HTTP/2 error {code}"))
        elif flags & h.END_STREAM and kind in {h.DATA, h.HEADERS}:
            if len(self.body) >= 5:
                self.done.set(bytes(self.body[5:]))
            else:
                self.done.set_exception(RequestError(f"no answer, but: {h.readable(payload)}"))


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
            LoadTestError: the message has more than ``MAX_MESSAGE`` bytes.
        """
        if len(message) > MAX_MESSAGE:
            raise LoadTestError(f"a message has up to {MAX_MESSAGE:,} bytes; got {len(message):,}")
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
        self._window = self._first_window = h.FIRST_WINDOW
        self._frame_size = h.FIRST_FRAME_SIZE
        self._received = 0
        widen = struct.pack(">I", h.MAX_WINDOW - h.FIRST_WINDOW)
        # Frames that need no window, in order, and the calls whose messages take turns.
        self._frames = [
            h.PREFACE,
            h.frame(h.SETTINGS, 0, 0, _OUR_SETTINGS),
            h.frame(h.WINDOW_UPDATE, 0, 0, widen),
        ]
        self._sending: deque[_Call] = deque()
        self._more = Event()
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        gevent.spawn(self._until_failure, self._read_all)
        gevent.spawn(self._until_failure, self._write_all)

    def call(self, path: str, message: bytes) -> bytes:
        """Send a message, and wait for the answer's; one that comes too late is dropped."""
        content = memoryview(struct.pack(">BI", 0, len(message)) + message)
        call = _Call(self._next_stream, content, self._first_window)
        self._next_stream += 2
        self._calls[call.stream] = call
        self._sending.append(call)
        self._write(h.HEADERS, h.END_HEADERS, call.stream, h.grpc_headers(path, self._authority))
        try:
            return bytes(call.done.get())
        finally:
            del self._calls[call.stream]
            if call.unsent:
                call.unsent = call.unsent[:0]
                self._write(h.RST_STREAM, 0, call.stream, struct.pack(">I", h.CANCEL))

    def close(self) -> None:
        """End reading and writing, and with them everything else."""
        self._end(ConnectionError("the connection was closed"))

    def _until_failure(self, loop: Callable[[], OSError]) -> None:
        try:
            failure = loop()
        except OSError as e:
            failure = e
        self._end(failure)

    def _end(self, failure: OSError) -> None:
        if self.closed:
            return
        self.closed = True
        self._more.set()
        self._socket.close()
        for call in self._calls.values():
            call.done.set_exception(failure)

    def _write(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Have a frame written that needs no window. It never waits, so no deadline cuts it."""
        self._frames.append(h.frame(kind, flags, stream, payload))
        self._more.set()

    def _write_all(self) -> OSError:
        while not self.closed:
            if content := self._next_turn():
                self._socket.sendall(content)
            else:
                self._more.clear()
                self._more.wait()
        return ConnectionError("the connection was closed")

    def _next_turn(self) -> bytes:
        """What to write now; a large message sends one frame, and then it is the next one's turn.

        A message that the server has no room for is passed over, and holds nobody up.
        """
        parts: list[bytes | memoryview] = [*self._frames]
        self._frames.clear()
        left, passed_over = _AT_ONCE, 0
        while left > 0 and passed_over < len(self._sending):
            call = self._sending.popleft()
            size = min(len(call.unsent), self._window, call.window, self._frame_size, _AT_ONCE)
            if size > 0:
                last = size == len(call.unsent)
                head = h.frame_head(h.DATA, h.END_STREAM if last else 0, call.stream, size)
                parts += (head, call.unsent[:size])
                call.unsent = call.unsent[size:]
                self._window -= size
                call.window -= size
                left -= size
            passed_over = 0 if size > 0 else passed_over + bool(call.unsent)
            if call.unsent:
                self._sending.append(call)
        return b"".join(parts)

    def _read_all(self) -> OSError:
        for kind, flags, stream, payload in h.frames(self._socket.recv):
            self._take(kind, flags, stream, payload)
        return ConnectionError("the server closed the connection")

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == h.DATA:
            self._make_room(len(payload))
        if stream in self._calls:
            self._calls[stream].take(kind, flags, payload)
        elif kind == h.SETTINGS and not flags & h.ACK:
            self._agree(h.settings(payload))
        elif kind == h.PING and not flags & h.ACK:
            self._write(h.PING, h.ACK, 0, payload)
        elif kind == h.WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == h.GOAWAY:
            raise ConnectionError(f"the server ends the connection: {h.readable(payload)}")
        if kind == h.WINDOW_UPDATE:
            self._more.set()

    def _agree(self, settings: dict[int, int]) -> None:
        """Take the server's settings on; a new first window counts for open streams, too."""
        self._frame_size = settings.get(h.MAX_FRAME_SIZE, self._frame_size)
        window = settings.get(h.INITIAL_WINDOW_SIZE, self._first_window)
        for call in self._calls.values():
            call.window += window - self._first_window
        self._first_window = window
        self._write(h.SETTINGS, h.ACK, 0, b"")

    def _make_room(self, size: int) -> None:
        """Let the server send as much again, before it has used up the window."""
        self._received += size
        if self._received > h.MAX_WINDOW // 2:
            self._write(h.WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received))
            self._received = 0
