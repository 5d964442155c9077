"""A picture as a path, as bytes and as a picture of Pillow."""

from __future__ import annotations

import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ensembles.contracts import LIMITS
from ensembles.errors import InvalidRequest, MissingExtra
from serving import request_image
from serving.request_image import image_bytes


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        request_image, "LIMITS", replace(LIMITS, image_bytes=1000, image_pixels=1000)
    )


def decoded(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def test_files_and_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"anything")
    for image in (b"anything", tmp_path / "photo.jpg", str(tmp_path / "photo.jpg")):
        assert image_bytes(image) == b"anything"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_a_picture_of_pillow_becomes_a_png(mode: str) -> None:
    image = decoded(image_bytes(Image.new("RGB", (7, 5), (200, 10, 20)).convert(mode)))
    assert (image.format, image.size) == ("PNG", (7, 5))


def test_colours_survive() -> None:
    image = Image.frombytes("RGB", (2, 2), bytes(range(12)))
    assert decoded(image_bytes(image)).tobytes() == bytes(range(12))


def test_a_picture_of_pillow_is_turned_upright() -> None:
    content = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees.
    Image.new("RGB", (40, 20)).save(content, format="JPEG", exif=exif)
    assert decoded(image_bytes(decoded(content.getvalue()))).size == (20, 40)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_that_are_no_colours_are_refused(mode: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot become a PNG .*; convert it to RGB"):
        image_bytes(Image.new(mode, (2, 2)))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "nowhere.jpg", "No such file"),
        (tmp_path, "Is a directory"),
        ("a\0b", "null byte"),
    ):
        with pytest.raises(InvalidRequest, match=f"image: expected a picture file.*{reason}"):
            image_bytes(path)


@pytest.mark.usefixtures("small_limits")
def test_limits_are_checked_before_sending(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1234))
    for image in (tmp_path / "large", bytes(1234)):
        with pytest.raises(InvalidRequest, match="at most 1,000 bytes, got 1,234; scale"):
            image_bytes(image)
    assert len(image_bytes(bytes(1000))) == 1000
    with pytest.raises(InvalidRequest, match="at most 1,000 pixels, got 50 x 21; scale"):
        image_bytes(Image.new("L", (50, 21)))


def test_nothing_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    for image in (b"", tmp_path / "empty.jpg"):
        with pytest.raises(InvalidRequest, match="image: expected one JPEG, PNG or WebP, got 0"):
            image_bytes(image)


def test_something_else_is_no_picture() -> None:
    wrong: Any = 7
    with pytest.raises(InvalidRequest, match="a path, bytes or a picture of Pillow, got int"):
        image_bytes(wrong)


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.new("L", (2, 2))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match="pillow is not installed"):
        image_bytes(image)
    assert image_bytes(b"x") == b"x"
