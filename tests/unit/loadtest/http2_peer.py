"""A gRPC server in miniature that counts every byte against the windows that it gave."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer

from loadtest import http2 as h


@dataclass
class Peer:
    """Echoes messages, and takes no more of them than it has room for.

    Attributes:
        first_window, frame_size: its settings.
        grant: bytes that it makes room for whenever a window is used up; 0: none.
        violations: what the client had no right to send.
        order: stream of each data frame, as they came.
        reset: streams that the client ended, and why.
    """

    first_window: int = h.FIRST_WINDOW
    frame_size: int = h.FIRST_FRAME_SIZE
    grant: int = h.FIRST_WINDOW
    port: int = 0
    violations: list[str] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    reset: dict[int, int] = field(default_factory=dict)
    windows: dict[int, int] = field(default_factory=dict)
    messages: dict[int, bytearray] = field(default_factory=dict)
    pings: list[bytes] = field(default_factory=list)
    socket: Any = None

    def __post_init__(self) -> None:
        self.windows[0] = h.FIRST_WINDOW
        self._agreed = h.FIRST_WINDOW, h.FIRST_FRAME_SIZE
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.stop()

    def make_room(self, stream: int, size: int) -> None:
        self.windows[stream] += size
        self.send(h.frame(h.WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def wait_for(self, seen: Callable[[], bool]) -> None:
        """Let client and peer go on until something was seen."""
        with gevent.Timeout(5):
            while not seen():
                gevent.sleep(0.001)

    def _serve(self, connection: socket.socket, _: object) -> None:
        self.socket = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = struct.pack(
            ">HIHI", h.INITIAL_WINDOW_SIZE, self.first_window, h.MAX_FRAME_SIZE, self.frame_size
        )
        self.send(h.frame(h.SETTINGS, 0, 0, said))
        preface = b""
        while len(preface) < len(h.PREFACE):
            preface += connection.recv(len(h.PREFACE) - len(preface))
        try:
            for kind, flags, stream, payload in h.frames(connection.recv):
                self._take(kind, flags, stream, payload)
        except OSError:
            pass  # the test is over

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == h.SETTINGS and flags & h.ACK:
            for open_stream in self.messages:
                self.windows[open_stream] += self.first_window - self._agreed[0]
            self._agreed = self.first_window, self.frame_size
        elif kind == h.HEADERS:
            if stream <= max(self.messages, default=0):
                self.violations.append(f"stream {stream} after {max(self.messages)}")
            self.windows[stream], self.messages[stream] = self._agreed[0], bytearray()
        elif kind == h.RST_STREAM:
            self.reset[stream] = int.from_bytes(payload, "big")
        elif kind == h.PING and flags & h.ACK:
            self.pings.append(payload)
        elif kind == h.DATA:
            self._data(flags, stream, payload)

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        room = min(self.windows[0], self.windows[stream], self._agreed[1])
        if len(payload) > room:
            self.violations.append(f"{len(payload)} bytes where {room} were allowed")
        self.order.append(stream)
        self.messages[stream] += payload
        for which in (0, stream):
            self.windows[which] -= len(payload)
        if flags & h.END_STREAM:
            self.send(
                h.frame(h.DATA, 0, stream, bytes(self.messages[stream]))
                + h.frame(h.HEADERS, h.END_STREAM | h.END_HEADERS, stream, b"")
            )
        for which in (0, stream):
            if self.grant and self.windows[which] <= 0:
                self.make_room(which, self.grant)
