"""Pictures to pixels, each on its own account: what is wrong with one stays with it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import dali
from .flatten import flattened
from .header import BadImage, Header, read_header
from .limits import Limits

Pixels = NDArray[np.float32]
"""float32 [3, size, size]."""
_Checked = tuple[int, NDArray[np.uint8], Header]
"""Place among the pictures, content, header."""


class Preprocessor:
    """One DALI pipeline.

    Attributes:
        size: rows and columns of the pixels.
    """

    def __init__(self, file: Path, size: int, limits: Limits, *, threads: int, device: int | None):
        self.size = size
        self._limits = limits
        self._load = partial(dali.load, file, threads=threads, device=device)
        self._pipeline = self._load()

    @classmethod
    def open(
        cls, folder: Path, limits: Limits, *, threads: int = 1, device: int | None = None
    ) -> Preprocessor:
        """The pipeline in ``folder``, once run, so that the first request waits for nothing.

        Args:
            folder: what ``write_pipelines`` wrote.
            limits: of a picture.
            threads: of the processor, for pictures of one call.
            device: number of a GPU; None for the processor.

        Raises:
            ValueError: the folder is missing or damaged, or there is no such device.
        """
        file = folder / ("cpu.dali" if device is None else "gpu.dali")
        try:
            size = int(json.loads((folder / "pipeline.json").read_text(encoding="utf-8"))["size"])
            opened = cls(file, size, limits, threads=threads, device=device)
        except (OSError, LookupError, TypeError, ValueError, RuntimeError) as e:
            raise ValueError(
                f"{folder}: expected a preprocessing pipeline, got {e!r}; build the release again"
            ) from e
        for kind, outcome in zip(_KINDS, opened.pixels(_samples()), strict=True):
            if isinstance(outcome, BadImage) or outcome.shape != (3, size, size):
                raise ValueError(
                    f"{file}: expected pixels [3, {size}, {size}] of a {kind}, got "
                    f"{getattr(outcome, 'shape', outcome)}; build the release again"
                )
        return opened

    def close(self) -> None:
        """Let go of threads and memory."""
        del self._pipeline

    def pixels(self, images: Sequence[NDArray[np.uint8]]) -> list[Pixels | BadImage]:
        """Pixels, or what is wrong, of each encoded picture (uint8, one axis)."""
        found: dict[int, Pixels | BadImage] = {}
        checked: list[_Checked] = []
        for place, image in enumerate(images):
            try:
                checked.append((place, image, self._check(image)))
            except BadImage as e:
                # A new one: through its traceback, the one caught holds on to every picture here.
                found[place] = BadImage(*e.args)
        for part in self._parts(checked):
            found.update(self._run(part))
        return [found[place] for place in range(len(images))]

    def _check(self, image: NDArray[np.uint8]) -> Header:
        most = self._limits
        if image.size > most.image_bytes:
            raise BadImage(
                f"expected at most {most.image_bytes:,} bytes, got {image.size:,}; send a smaller "
                "picture"
            )
        header = read_header(image.tobytes())
        if header.width * header.height > most.image_pixels:
            raise BadImage(
                f"expected at most {most.image_pixels:,} pixels, got {header.width:,} x "
                f"{header.height:,}; send a smaller picture"
            )
        return header

    def _parts(self, checked: Sequence[_Checked]) -> Iterator[list[_Checked]]:
        """Runs of few enough pictures, and of no more pixels than one picture may have."""
        part: list[_Checked] = []
        pixels = 0
        for entry in checked:
            own = entry[2].width * entry[2].height
            if part and (len(part) == dali.ROWS or pixels + own > self._limits.image_pixels):
                yield part
                part, pixels = [], 0
            part.append(entry)
            pixels += own
        if part:
            yield part

    def _run(self, part: Sequence[_Checked]) -> dict[int, Pixels | BadImage]:
        """Outcomes by place; when the run fails, of each picture alone."""
        try:
            rows = self._decode(part)
        except Exception:  # noqa: BLE001
            self._pipeline = self._load()  # one that failed runs no more
            if len(part) > 1:
                return {place: o for entry in part for place, o in self._run([entry]).items()}
            place, _, header = part[0]
            damaged = f"expected a {header.kind} that can be decoded, got a damaged one"
            return {place: BadImage(f"{damaged}; send it again, or another picture")}
        return {place: row for (place, _, _), row in zip(part, rows, strict=True)}

    def _decode(self, part: Sequence[_Checked]) -> NDArray[np.float32]:
        """float32 [pictures, 3, size, size].

        Raises:
            Exception: a picture cannot be decoded, and the pipeline may be lost.
        """
        # Copies, as DALI holds on to what it is fed until it is fed anew, and a request's picture
        # lies in memory that its server wants back.
        encoded = [flattened(i.tobytes()) if h.flatten else i.copy() for _, i, h in part]
        filters = [
            dali.SAME_SIZE if min(h.width, h.height) == self.size else dali.SMOOTH
            for _, _, h in part
        ]
        self._pipeline.feed_input(dali.IMAGE, encoded)
        self._pipeline.feed_input(dali.FILTER, filters)
        (pixels,) = self._pipeline.run()
        # A copy: the next run writes into the same memory.
        return np.array(pixels.as_cpu().as_tensor())


_KINDS = ("JPEG", "PNG", "WebP")


def _samples() -> list[NDArray[np.uint8]]:
    """A small picture of each kind."""
    samples = []
    for kind in _KINDS:
        encoded = io.BytesIO()
        Image.new("RGB", (16, 8)).save(encoded, kind)
        samples.append(np.frombuffer(encoded.getvalue(), np.uint8))
    return samples
