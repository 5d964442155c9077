"""HTTP/2 as far as a client of prepared gRPC calls needs it (RFC 9113): frames, and one header."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
"""The settings of a peer that matter to who sends."""
CANCEL = 8
MAX_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
"""Bytes that may be sent on a connection, and on a stream, until the peer says otherwise."""
FIRST_FRAME_SIZE = 16_384
"""The size that every peer takes."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame as bytes."""
    return frame_head(kind, flags, stream, len(payload)) + payload


def frame_head(kind: int, flags: int, stream: int, size: int) -> bytes:
    """The nine bytes in front of a payload of ``size`` bytes."""
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream)


def frames(receive: Callable[[int], bytes]) -> Iterator[tuple[int, int, int, bytes]]:
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


def settings(payload: bytes) -> dict[int, int]:
    """What a SETTINGS frame says, by the number of each setting."""
    return dict(struct.iter_unpack(">HI", payload))


def grpc_headers(path: str, authority: str) -> bytes:
    """The header block of a gRPC call, without any compression that needs state."""
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


def _literal(text: str) -> bytes:
    """A string of the header compression (RFC 7541), up to 126 bytes, not compressed."""
    return bytes([len(text)]) + text.encode("ascii")


def readable(block: bytes) -> str:
    """What is readable in compressed headers, such as gRPC's status and message."""
    return " ".join(run.decode() for run in re.findall(rb"[ -~]{4,}", block))
