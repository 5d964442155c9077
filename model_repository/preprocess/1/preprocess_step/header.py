"""Reads what a picture says of itself, before a decoder touches it.

A decoder takes the declared size at its word and allocates it, and one broken picture ends DALI's
pipeline; so type, size and end of a file are checked on its own bytes first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

_OTHER_TYPES = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
    b"<": "text",
    b"{": "text",
}
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a segment."""


class BadImage(Exception):
    """A picture that cannot be used; the message tells its sender why."""


@dataclass(frozen=True)
class Header:
    """What a picture declares.

    Attributes:
        kind: JPEG, PNG or WebP.
        width: columns, as stored; a camera's orientation may turn it.
        height: rows, as stored.
        flatten: it may have transparent parts, or is a WebP of the extended form; see ``flatten``.
    """

    kind: str
    width: int
    height: int
    flatten: bool = False


def read_header(data: bytes) -> Header:
    """The header of one encoded picture; bytes after its end do not matter.

    Raises:
        BadImage: no JPEG, PNG or WebP; cut short; animated; or its size cannot be read.
    """
    kind, read = _reader(data)
    try:
        header = read(data)
    except (IndexError, struct.error):
        raise _truncated(kind) from None
    if not header.width or not header.height:
        raise BadImage(f"expected a {kind} of at least 1 x 1 pixels, got one that declares none")
    return header


def _reader(data: bytes) -> tuple[str, Callable[[bytes], Header]]:
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG", _read_jpeg
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG", _read_png
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", _read_webp
    if not data.strip(b"\0"):
        came = "nothing but zero bytes" if data else "no bytes"
    elif data[4:8] == b"ftyp":
        came = "an HEIC, AVIF or video"
    else:
        names = (name for magic, name in _OTHER_TYPES.items() if data.startswith(magic))
        came = next(names, f"bytes that start with {data[:4].hex(' ')}")
    raise BadImage(f"expected one encoded JPEG, PNG or WebP, got {came}; convert the picture")


def _truncated(kind: str) -> BadImage:
    return BadImage(f"expected a whole {kind}, got one that ends too early; send the whole file")


def _animated(kind: str) -> BadImage:
    return BadImage(f"expected a still picture, got an animated {kind}; send one frame of it")


def _read_jpeg(data: bytes) -> Header:
    """Walk the segments (ITU-T T.81, annex B) to the first scan, and look for the end mark."""
    frame: Header | None = None
    at = 2
    while True:
        # As decoders do: skip what is no marker, and fill bytes before one.
        at = data.find(b"\xff", at)
        if at < 0:
            raise _truncated("JPEG")
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker in _JPEG_ALONE:
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if marker in _JPEG_FRAMES and frame is None:
            height, width = struct.unpack_from(">HH", data, at + 3)
            frame = Header("JPEG", width, height)
        at += length
        if marker == 0xDA:
            break
    if frame is None:
        raise BadImage("expected a JPEG with a frame header before its pixels, got none")
    if data.rfind(b"\xff\xd9", at) < 0:
        raise _truncated("JPEG")
    return frame


def _read_png(data: bytes) -> Header:
    """Walk the chunks (PNG, third edition, section 5) to the end."""
    kind, width, height, depth, colour = struct.unpack_from(">4sIIBB", data, 12)
    if kind != b"IHDR":
        raise BadImage("expected a PNG whose first chunk is IHDR, got another")
    alpha = colour in {4, 6}
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            raise _animated("PNG")
        alpha = alpha or (kind == b"tRNS" and depth <= 8)
        at += 12 + length
        if at > len(data):
            raise _truncated("PNG")
        if kind == b"IEND":
            return Header("PNG", width, height, alpha)


def _read_webp(data: bytes) -> Header:
    """Read the first chunk (RFC 9649, section 2)."""
    (size,) = struct.unpack_from("<I", data, 4)
    if 8 + size > len(data):
        raise _truncated("WebP")
    match data[12:16]:
        case b"VP8 ":
            start, width, height = struct.unpack_from("<3sHH", data, 23)
            if start == b"\x9d\x01\x2a":
                return Header("WebP", width & 0x3FFF, height & 0x3FFF)
        case b"VP8L":
            mark, bits = struct.unpack_from("<BI", data, 20)
            if mark == 0x2F:
                width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
                return Header("WebP", width, height, flatten=bool(bits >> 28 & 1))
        case b"VP8X":
            flags, width, height = data[20], data[24:27], data[27:30]
            if flags & 0x02:
                raise _animated("WebP")
            width, height = (1 + int.from_bytes(edge, "little") for edge in (width, height))
            return Header("WebP", width, height, flatten=True)
    raise BadImage("expected a WebP that begins with its picture, got another chunk")
