"""Pixels of pictures whose right pixels are known."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.damaged_images import KINDS, drawn, encode
from tests.real_data import real_data
from tests.unit.model_repository.preprocess_step import SIZE, STEP, colours, encoded, open_in

BACK = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What makes the stored picture of an upright one, by EXIF orientation."""


@pytest.fixture(scope="module")
def preprocessor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = open_in(tmp_path_factory.mktemp("pipeline"))
    yield opened
    opened.close()


def seen(preprocessor: Any, *files: bytes) -> Any:
    """Colours [files, SIZE, SIZE, 3]."""
    return np.stack([colours(p) for p in preprocessor.pixels(encoded(*files))])


def by_pillow(picture: Image.Image) -> Any:
    """Pillow's filter over the part of the picture that resizing and then cropping leaves."""
    scale = min(picture.size) / SIZE
    box = []
    for edge in picture.size:
        resized = int(edge / scale + 0.5)
        start = (edge - resized * scale) / 2 + int((resized - SIZE) / 2 + 0.5) * scale
        box.append((max(0.0, start), min(edge, start + SIZE * scale)))
    (left, right), (top, bottom) = box
    whole = picture.convert("RGB")
    found = whole.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return np.asarray(found, np.float32)


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (5, 200), (1, 1), (31, 33)])
def test_a_plain_colour_stays_exact(preprocessor: Any, size: tuple[int, int]) -> None:
    file = encode(Image.new("RGB", size, (200, 30, 7)), "PNG")
    expected = np.broadcast_to(np.float32([200, 30, 7]), (SIZE, SIZE, 3))
    np.testing.assert_allclose(seen(preprocessor, file)[0], expected, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_float32_channels_first(preprocessor: Any, kind: str) -> None:
    (pixels,) = preprocessor.pixels(encoded(encode(drawn(0), kind)))
    assert (pixels.shape, pixels.dtype) == ((3, SIZE, SIZE), np.float32)


@pytest.mark.parametrize("size", [(96, 64), (64, 200), (640, 480), (20, 24)])
def test_as_pillow_scales(preprocessor: Any, size: tuple[int, int]) -> None:
    picture = drawn(3, size)
    difference = np.abs(seen(preprocessor, encode(picture, "PNG"))[0] - by_pillow(picture))
    assert difference.mean() < 0.5
    assert difference.max() < 20  # edges, where a crop starts between two pixels


def test_as_pillow_scales_photos(preprocessor: Any) -> None:
    files = sorted(real_data("posters").glob("*.jpg"))[:32]
    found = seen(preprocessor, *(f.read_bytes() for f in files))
    difference = np.abs(found - np.stack([by_pillow(Image.open(f)) for f in files]))
    assert difference.mean() < 0.5


@pytest.mark.parametrize("size", [(SIZE, SIZE), (SIZE + 8, SIZE), (SIZE, 90)])
def test_a_picture_of_the_right_size_is_not_resampled(
    preprocessor: Any, size: tuple[int, int]
) -> None:
    picture = drawn(4, size)
    found = seen(preprocessor, encode(picture, "PNG"))[0]
    np.testing.assert_allclose(found, by_pillow(picture), atol=1e-3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_orientation_is_undone(preprocessor: Any, kind: str, mode: str) -> None:
    upright = drawn(5).convert(mode)
    if mode == "RGBA":
        upright.putalpha(200)
    files = []
    for orientation, back in BACK.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = upright if back is None else upright.transpose(back)
        files.append(encode(stored, kind, exif=exif.tobytes(), lossless=True))
    found = seen(preprocessor, *files)
    for turned in found[1:]:
        np.testing.assert_allclose(turned, found[0], atol=1e-3)


def test_orientation_of_a_jpeg_is_undone(preprocessor: Any) -> None:
    files = []
    for orientation, back in BACK.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = drawn(6) if back is None else drawn(6).transpose(back)
        files.append(encode(stored, "JPEG", quality=98, subsampling=0, exif=exif.tobytes()))
    found = seen(preprocessor, *files)
    assert np.abs(found - found[0]).mean() < 1


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("LA", "PNG")]
)
def test_grey_has_three_equal_channels(preprocessor: Any, mode: str, kind: str) -> None:
    picture = drawn(7).convert(mode)
    found = seen(preprocessor, encode(picture, kind))[0]
    np.testing.assert_allclose(found, found[..., :1].repeat(3, axis=2), atol=1e-3)
    assert np.abs(found - by_pillow(picture)).mean() < 1.5


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("P", "PNG"), ("I;16", "PNG")])
def test_other_colour_models(preprocessor: Any, mode: str, kind: str) -> None:
    if mode == "I;16":
        grey = np.asarray(drawn(8).convert("L"))
        picture, shown = Image.fromarray(grey.astype(np.uint16) * 257), drawn(8).convert("L")
    else:
        picture = shown = drawn(8).convert(mode)
    found = seen(preprocessor, encode(picture, kind))[0]
    assert np.abs(found - by_pillow(shown)).mean() < 1.5


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG"), ("P", "PNG")]
)
def test_transparent_parts_are_white(preprocessor: Any, mode: str, kind: str) -> None:
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((0, 0, 31, 63), fill=(0, 0, 0, 255))
    if mode == "RGBA":
        ImageDraw.Draw(picture).rectangle((0, 0, 31, 31), fill=(0, 0, 0, 128))
    file = encode(picture.convert(mode), kind, lossless=True)
    found = seen(preprocessor, file)[0]
    np.testing.assert_allclose(found[:, 18:], 255, atol=1e-3)
    np.testing.assert_allclose(found[18:, :14], 0, atol=1e-3)
    if mode == "RGBA":
        np.testing.assert_allclose(found[:14, :14], 127, atol=1e-3)


def test_a_fresh_pipeline_gives_the_same(tmp_path: Path) -> None:
    opened = open_in(tmp_path)
    fresh = STEP.dali.pipeline(SIZE, (120.0, 110.0, 100.0), (60.0, 50.0, 40.0), gpu=False)
    fresh.build()
    files = encoded(*(encode(drawn(i), kind) for i, kind in enumerate(KINDS)))
    for _ in range(2):  # it reads one batch ahead
        fresh.feed_input(STEP.dali.IMAGE, files)
        fresh.feed_input(STEP.dali.FILTER, [STEP.dali.SMOOTH] * len(files))
    (pixels,) = fresh.run()
    np.testing.assert_array_equal(np.array(pixels.as_tensor()), np.stack(opened.pixels(files)))


def test_threads_do_not_change_pixels(tmp_path: Path, preprocessor: Any) -> None:
    files = encoded(*(encode(drawn(i, (40 + i, 50)), KINDS[i % 3]) for i in range(12)))
    two = open_in(tmp_path, threads=2)
    np.testing.assert_array_equal(np.stack(two.pixels(files)), preprocessor.pixels(files))


def test_a_picture_keeps_its_pixels_after_the_next(preprocessor: Any) -> None:
    (first,) = preprocessor.pixels(encoded(encode(drawn(1), "PNG")))
    kept = first.copy()
    preprocessor.pixels(encoded(encode(drawn(2), "PNG")))
    np.testing.assert_array_equal(first, kept)


def test_pillow_is_not_asked_for_more_than_png_and_webp() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        STEP.flatten.flattened(encode(drawn(0), "GIF"))
    assert STEP.flatten.flattened(encode(drawn(0), "PNG"))[:2].tobytes() == b"P6"
    with Image.open(io.BytesIO(STEP.flatten.flattened(encode(drawn(0), "PNG")))) as flat:
        np.testing.assert_array_equal(np.asarray(flat), np.asarray(drawn(0)))
