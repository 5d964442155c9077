"""The picture of a request as bytes: out of a file, as it is, or encoded."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ensembles.contracts import IMAGE, LIMITS
from ensembles.errors import InvalidRequest, MissingExtra

if TYPE_CHECKING:
    from PIL.Image import Image

_AS_RGB = {"CMYK", "YCbCr", "HSV", "LAB", "RGBX"}
"""Colours that PNG does not have."""


def image_bytes(image: str | os.PathLike[str] | bytes | Image) -> bytes:
    """The bytes of a JPEG, PNG or WebP file, given as its path or as they are.

    A picture of Pillow becomes a PNG, turned upright as its EXIF says.

    Raises:
        InvalidRequest: a file that cannot be read, nothing in it, or more than ``LIMITS`` allow.
        MissingExtra: Pillow is not installed.
    """
    if isinstance(image, bytes):
        content = image
    elif isinstance(image, str | os.PathLike):
        content = _read(Path(image))
    else:
        content = _encoded(image)
    if not content:
        raise InvalidRequest(f"{IMAGE.name}: expected one JPEG, PNG or WebP, got 0 bytes")
    _check_size(len(content))
    return content


def _check_size(size: int) -> None:
    if size > LIMITS.image_bytes:
        raise InvalidRequest(
            f"{IMAGE.name}: expected at most {LIMITS.image_bytes:,} bytes, got {size:,}; "
            "scale the picture down"
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # One byte more than allowed tells a file that is too large, however large it is.
            content = file.read(LIMITS.image_bytes + 1)
            if len(content) > LIMITS.image_bytes:
                _check_size(path.stat().st_size)
            return content
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else e
        raise InvalidRequest(
            f"{IMAGE.name}: expected a picture file, but {path} cannot be read: {reason}"
        ) from e


def _encoded(image: Image) -> bytes:
    try:
        from PIL import Image as Pillow
        from PIL import ImageOps
    except ImportError as e:
        raise MissingExtra("pillow", "serve") from e
    if not isinstance(image, Pillow.Image):
        raise InvalidRequest(
            f"{IMAGE.name}: expected a path, bytes or a picture of Pillow, got "
            f"{type(image).__name__}"
        )
    if image.width * image.height > LIMITS.image_pixels:
        raise InvalidRequest(
            f"{IMAGE.name}: expected at most {LIMITS.image_pixels:,} pixels, got "
            f"{image.width} x {image.height}; scale the picture down"
        )
    content = BytesIO()
    try:
        upright = ImageOps.exif_transpose(image)
        colours = upright.convert("RGB") if upright.mode in _AS_RGB else upright
        colours.save(content, format="PNG", compress_level=1)
    except (OSError, ValueError) as e:
        raise InvalidRequest(
            f"{IMAGE.name}: this picture cannot become a PNG ({e}); convert it to RGB"
        ) from e
    return content.getvalue()
