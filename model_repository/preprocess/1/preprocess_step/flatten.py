"""Decodes the few pictures that DALI would get wrong, so that it only has pixels left to take.

- With transparent parts: what colour lies under them is chance, often black, and DALI's decoder
  takes it as it is. Here they are put on white, as a shop's page does. (Its form that keeps the
  alpha channel, ANY_DATA, writes past its buffer for greyscale and CMYK JPEG.)
- WebP in its extended form, with EXIF or a colour profile: DALI supports the simple form only, and
  fails on an extended one whenever a chunk has an odd length.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


def flattened(data: bytes) -> NDArray[np.uint8]:
    """A PNG or WebP without transparent parts, upright, encoded as PPM: uint8 [bytes].

    Raises:
        Exception: whatever a decoder raises on damaged bytes.
    """
    with Image.open(io.BytesIO(data), formats=["PNG", "WEBP"]) as opened:
        ImageOps.exif_transpose(opened, in_place=True)
        picture: Image.Image = opened
        if picture.mode != "RGB" or "transparency" in picture.info:
            transparent = picture if picture.mode == "RGBA" else picture.convert("RGBA")
            picture = Image.new("RGB", transparent.size, "white")
            picture.paste(transparent, mask=transparent.getchannel("A"))
        encoded = io.BytesIO()
        picture.save(encoded, "PPM")
    return np.frombuffer(encoded.getbuffer(), np.uint8)
