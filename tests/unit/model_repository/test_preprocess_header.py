"""What a picture says of itself is read from its bytes, or it is refused with a sentence."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.damaged_images import KINDS, animated, drawn, encode, huge_jpeg, huge_png
from tests.unit.model_repository.preprocess_step import STEP

GREY_ALPHA = drawn(1).convert("LA")
SEE_THROUGH = Image.new("RGBA", (96, 64), (9, 9, 9, 100))


@pytest.mark.parametrize("size", [(96, 64), (1, 1), (1, 300), (700, 2)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + bytes(900)}),
        ("PNG", {}),
        ("PNG", {"icc_profile": bytes(500)}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"icc_profile": bytes(500)}),
    ],
)
def test_size_is_read(kind: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    header = STEP.read_header(encode(drawn(0).resize(size), kind, **options))
    assert (header.kind.upper(), header.width, header.height) == (kind, *size)
    assert header.flatten == (kind == "WEBP" and "icc_profile" in options)


@pytest.mark.parametrize(
    ("picture", "kind", "options"),
    [
        (SEE_THROUGH, "PNG", {}),
        (SEE_THROUGH, "WEBP", {}),
        (SEE_THROUGH, "WEBP", {"lossless": True}),
        (GREY_ALPHA, "PNG", {}),
        (drawn(0).convert("P"), "PNG", {"transparency": 0}),
        (drawn(0), "PNG", {"transparency": (0, 0, 0)}),
    ],
)
def test_transparency_is_seen(picture: Image.Image, kind: str, options: dict[str, Any]) -> None:
    assert STEP.read_header(encode(picture, kind, **options)).flatten


def test_size_of_a_bomb_is_read() -> None:
    for data in (huge_jpeg(), huge_png()):
        header = STEP.read_header(data)
        assert (header.width, header.height) == (65_000, 65_000)


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_a_picture_does_not_matter(kind: str) -> None:
    data = encode(drawn(0), kind)
    assert STEP.read_header(data + bytes(500)) == STEP.read_header(data)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_short_anywhere(kind: str) -> None:
    data = encode(drawn(0), kind)
    for end in range(12, len(data) - 1, 7):
        with pytest.raises(STEP.BadImage, match="expected a whole"):
            STEP.read_header(data[:end])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations(kind: str) -> None:
    with pytest.raises(STEP.BadImage, match="expected a still picture, got an animated"):
        STEP.read_header(animated(kind))


@pytest.mark.parametrize(
    ("data", "came"),
    [
        (b"", "got no bytes"),
        (bytes(90), "got nothing but zero bytes"),
        (animated("GIF"), "got a GIF"),
        (encode(drawn(0), "BMP"), "got a BMP"),
        (encode(drawn(0), "TIFF"), "got a TIFF"),
        (b"%PDF-1.7", "got a PDF"),
        (b"<svg/>", "got text"),
        (b'{"image": 1}', "got text"),
        (b"\0\0\0\x20ftypheic", "got an HEIC, AVIF or video"),
        (b"\x89PNX\r\n", "got bytes that start with 89 50 4e 58"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "got bytes that start with 52 49 46 46"),
    ],
)
def test_other_types(data: bytes, came: str) -> None:
    with pytest.raises(STEP.BadImage, match="expected one encoded JPEG, PNG or WebP") as refusal:
        STEP.read_header(data)
    assert came in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (huge_jpeg(0, 9), "at least 1 x 1"),
        (huge_png(9, 0), "at least 1 x 1"),
        (b"\xff\xd8\xff\xda\0\x02\xff\xd9", "frame header before its pixels"),
        (b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s13s", 13, b"IDAT", b""), "first chunk is IHDR"),
        (b"RIFF\x20\0\0\0WEBPALPH" + bytes(40), "begins with its picture"),
        (b"RIFF\x20\0\0\0WEBPVP8 " + bytes(40), "begins with its picture"),
        (b"RIFF\x20\0\0\0WEBPVP8L" + bytes(40), "begins with its picture"),
    ],
)
def test_contradictions(data: bytes, said: str) -> None:
    with pytest.raises(STEP.BadImage, match=said):
        STEP.read_header(data)


def test_fill_bytes_and_lone_markers_of_a_jpeg_are_skipped() -> None:
    data = encode(drawn(0), "JPEG")
    odd = data[:2] + b"\xff\xd0\xff\xff\xff\x01" + data[2:]
    assert STEP.read_header(odd) == STEP.read_header(data)


MAGICS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8 "]


def read_or_refuse(data: bytes) -> None:
    """A header of a real size, or a refusal that is a sentence; nothing else."""
    refusal = ""
    try:
        header = STEP.read_header(data)
    except STEP.BadImage as e:
        refusal = str(e)
    assert refusal.startswith("expected ") or min(header.width, header.height) > 0


@settings(max_examples=300)
@given(st.sampled_from([b"", *MAGICS]), st.binary(max_size=200))
def test_random_bytes_are_a_header_or_refused(magic: bytes, rest: bytes) -> None:
    read_or_refuse(magic + rest)


@settings(max_examples=100)
@given(st.sampled_from(KINDS), st.data())
def test_changed_bytes_are_a_header_or_refused(kind: str, data: st.DataObject) -> None:
    changed = bytearray(encode(drawn(0), kind))
    for place in data.draw(st.lists(st.integers(0, 300), min_size=1, max_size=4)):
        changed[place % len(changed)] = data.draw(st.integers(0, 255))
    read_or_refuse(bytes(changed))
