"""Pictures small enough to stand in a page, as text."""

from __future__ import annotations

import warnings
from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from ensembles.contracts import LIMITS
from ensembles.errors import MissingExtra
from serving.preview.catalogue import STAND_IN, STAND_IN_KEY

try:
    from PIL import Image, ImageOps
except ImportError as e:
    raise MissingExtra("pillow", "serve") from e

_LARGEST = (260, 390)


@dataclass(frozen=True)
class Thumbnail:
    """A small picture.

    Attributes:
        uri: ``data:`` with a JPEG of at most 260 x 390 pixels.
        stand_in: drawn from title and categories; it shows nothing of the item.
    """

    uri: str
    stand_in: bool


def thumbnail(picture: Path | bytes) -> Thumbnail | None:
    """A picture, made small and upright; None where there is none that can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            source = picture if isinstance(picture, Path) else BytesIO(picture)
            with Image.open(source) as image:
                if image.width * image.height > LIMITS.image_pixels:
                    return None
                stand_in = image.info.get(STAND_IN_KEY) == STAND_IN
                return Thumbnail(_uri(image), stand_in)
    # What damaged files raise in Pillow; large ones and odd ones warn.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning):
        return None


def _uri(image: Image.Image) -> str:
    image.draft("RGB", (2 * _LARGEST[0], 2 * _LARGEST[1]))  # JPEG: decode no more than needed
    small = ImageOps.exif_transpose(image).convert("RGBA")
    small.thumbnail(_LARGEST)
    flat = Image.new("RGB", small.size, "white")
    flat.paste(small, mask=small.getchannel("A"))
    content = BytesIO()
    flat.save(content, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + b64encode(content.getvalue()).decode("ascii")
