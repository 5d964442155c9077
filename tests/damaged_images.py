"""Broken pictures, made from whole ones, the same ones each time."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from PIL import Image, ImageDraw

KINDS = ("JPEG", "PNG", "WEBP")


@dataclass(frozen=True)
class Damaged:
    """A file, what was done to it, and whether it must be refused; if not, a decoder may cope."""

    name: str
    data: bytes
    refused: bool


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    """``picture`` as a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def drawn(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A picture with edges and slopes."""
    rng = random.Random(seed)
    picture = Image.radial_gradient("L").resize(size).convert("RGB")
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        box = (
            sorted(rng.randrange(size[0]) for _ in range(2)),
            sorted(rng.randrange(size[1]) for _ in range(2)),
        )
        colour = tuple(rng.randrange(256) for _ in range(3))
        draw.ellipse((box[0][0], box[1][0], box[0][1], box[1][1]), fill=colour)
    return picture


def whole(count: int, folder: Path | None = None) -> list[bytes]:
    """Good pictures of every kind in turn, from JPEG files of ``folder``, or drawn ones."""
    if folder is None:
        pictures = [drawn(seed) for seed in range(count)]
    else:
        pictures = [Image.open(p).convert("RGB") for p in sorted(folder.glob("*.jpg"))[:count]]
    return [encode(p, kind) for p, kind in zip(pictures, cycle(KINDS), strict=False)]


def damaged(count: int, good: list[bytes], seed: int = 0) -> Iterator[Damaged]:
    """``count`` broken files, every way of breaking in turn."""
    rng = random.Random(seed)
    for _, (name, (harm, refused)) in zip(range(count), cycle(_WAYS.items()), strict=False):
        yield Damaged(name, harm(rng.choice(good), rng), refused)


def huge_jpeg(width: int = 65_000, height: int = 65_000) -> bytes:
    """A small JPEG that declares more than it holds."""
    data = bytearray(encode(drawn(0), "JPEG"))
    frame = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, frame + 5, height, width)
    return bytes(data)


def huge_png(width: int = 65_000, height: int = 65_000) -> bytes:
    """A small PNG that declares more than it holds, with a right checksum."""
    data = bytearray(encode(drawn(0), "PNG"))
    struct.pack_into(">II", data, 16, width, height)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


def animated(kind: str) -> bytes:
    """Three frames."""
    return encode(drawn(1), kind, save_all=True, append_images=[drawn(2), drawn(3)])


def _truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(1, len(data) - 12)]


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 4, 16, 64])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _flip_header(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(4):
        changed[rng.randrange(12, 64)] = rng.randrange(256)
    return bytes(changed)


def _zero_part(data: bytes, rng: random.Random) -> bytes:
    start, end = sorted(rng.randrange(16, len(data)) for _ in range(2))
    return data[:start] + bytes(end - start) + data[end:]


def _drop_part(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(32, len(data) - 16)
    return data[:start] + data[start + rng.randrange(1, 16) :]


def _splice(data: bytes, rng: random.Random) -> bytes:
    other = encode(drawn(rng.randrange(9)), rng.choice(KINDS))
    return data[: len(data) // 2] + other[len(other) // 2 :]


def _random_after_magic(data: bytes, rng: random.Random) -> bytes:
    return data[:16] + rng.randbytes(rng.choice([0, 9, 200, 5000]))


def _damage_exif(_: bytes, rng: random.Random) -> bytes:
    exif = b"Exif\0\0" + rng.choice([b"II*\0", b"MM\0*", b""]) + rng.randbytes(60)
    return encode(drawn(4), rng.choice(KINDS), exif=exif)


def _damage_icc(_: bytes, rng: random.Random) -> bytes:
    return encode(drawn(5), rng.choice(KINDS), icc_profile=rng.randbytes(300))


_WAYS: dict[str, tuple[Callable[[bytes, random.Random], bytes], bool]] = {
    "cut short": (_truncate, True),
    "bits flipped": (_flip_bits, False),
    "header overwritten": (_flip_header, False),
    "65,000 x 65,000 JPEG": (lambda *_: huge_jpeg(), True),
    "part zeroed": (_zero_part, False),
    "65,000 x 65,000 PNG": (lambda *_: huge_png(), True),
    "bytes dropped": (_drop_part, False),
    "zero bytes": (lambda data, _: bytes(len(data)), True),
    "two files spliced": (_splice, False),
    "GIF": (lambda *_: encode(drawn(6), "GIF"), True),
    "random after the magic": (_random_after_magic, True),
    "animated GIF": (lambda *_: animated("GIF"), True),
    "EXIF damaged": (_damage_exif, False),
    "animated PNG": (lambda *_: animated("PNG"), True),
    "ICC damaged": (_damage_icc, False),
    "animated WebP": (lambda *_: animated("WEBP"), True),
    "cut short again": (_truncate, True),
    "BMP": (lambda *_: encode(drawn(7), "BMP"), True),
    "bits flipped again": (_flip_bits, False),
    "TIFF": (lambda *_: encode(drawn(8), "TIFF"), True),
    "text": (lambda *_: b"<svg xmlns='http://www.w3.org/2000/svg'/>", True),
    "one byte": (lambda *_: b"\xff", True),
    "magic alone": (lambda data, _: data[:12], True),
    "bytes after the end": (lambda data, rng: data + rng.randbytes(2000), False),
}
