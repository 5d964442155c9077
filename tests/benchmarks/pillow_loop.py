"""What the preprocess step is compared with: the same in Pillow and numpy, picture by picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIZE = 224
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_SCALE = (1 / np.array(STD, np.float32))[:, None, None]
_SHIFT = -np.array(MEAN, np.float32)[:, None, None] * _SCALE

_files: list[bytes] = []


def pixels(files: Sequence[bytes], *, draft: bool = False) -> NDArray[np.float32]:
    """float32 [files, 3, SIZE, SIZE]; with ``draft``, JPEG is decoded at a reduced size."""
    found = np.empty((len(files), 3, SIZE, SIZE), np.float32)
    for place, file in enumerate(files):
        with Image.open(io.BytesIO(file)) as opened:
            if draft:
                opened.draft("RGB", (SIZE, SIZE))
            ImageOps.exif_transpose(opened, in_place=True)
            picture = opened.convert("RGB")
        edge = min(picture.size)
        left, top = ((length - edge) / 2 for length in picture.size)
        # Only the part that the crop leaves is resampled, as the step does it.
        box = (left, top, left + edge, top + edge)
        resized = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
        np.multiply(np.asarray(resized).transpose(2, 0, 1), _SCALE, out=found[place])
        found[place] += _SHIFT
    return found


def hold(files: Sequence[bytes]) -> None:
    """Keep the pictures of a process."""
    _files[:] = files


def work(part: slice, draft: bool) -> int:
    """Go through a part of them, 32 at a time; how many."""
    own = _files[part]
    for start in range(0, len(own), 32):
        pixels(own[start : start + 32], draft=draft)
    return len(own)
