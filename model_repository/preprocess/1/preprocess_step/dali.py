"""The pipeline, from encoded pictures to normalised pixels, as DALI runs it.

One function for both devices; it is also what the serialised pipelines of a release were made of.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nvidia.dali import Pipeline, fn, types

IMAGE, FILTER = "image", "filter"
"""Inputs by name: encoded pictures, uint8 [bytes]; and how each is resized, int32 []."""

SAME_SIZE = np.array(types.INTERP_NN.value, np.int32)
"""Filter of a picture whose shorter side has the wanted length already. It copies pixels, as the
smooth one would after 0.8 of 1.1 ms; catalogues often hold thumbnails of one size."""
SMOOTH = np.array(types.INTERP_LINEAR.value, np.int32)

ROWS = 32
"""Pictures of one run at most."""


def pipeline(size: int, mean: Sequence[float], std: Sequence[float], *, gpu: bool) -> Pipeline:
    """Decode, resize the shorter side to ``size``, crop the centre, normalise.

    Gives float32 [3, size, size] a picture: ``(colour - mean) / std`` with colours of 0 to 255.
    Greyscale and CMYK become RGB, and a camera's orientation (EXIF) is undone, by the decoder.
    """
    # No device here: a serialised pipeline is given one where it runs, and can be written where
    # there is none.
    made = Pipeline(batch_size=ROWS, num_threads=1, device_id=None)
    with made:
        encoded = fn.external_source(name=IMAGE, dtype=types.UINT8, ndim=1, no_copy=True)
        interpolation = fn.external_source(name=FILTER, dtype=types.INT32, ndim=0)
        picture = fn.decoders.image(
            encoded,
            device="mixed" if gpu else "cpu",
            output_type=types.RGB,
            jpeg_fancy_upsampling=True,  # on a GPU as on a processor
        )
        picture = fn.resize_crop_mirror(
            picture,
            resize_shorter=size,
            crop=(size, size),
            interp_type=fn.cast(interpolation, dtype=types.INTERP_TYPE),
            antialias=True,
            dtype=types.FLOAT,  # not rounded between two steps, and 3 % faster
        )
        pixels = fn.crop_mirror_normalize(
            picture, mean=list(mean), std=list(std), output_layout="CHW", dtype=types.FLOAT
        )
        made.set_outputs(pixels)
    return made


def write_pipelines(folder: Path, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
    """Write ``cpu.dali``, ``gpu.dali`` and ``pipeline.json`` into ``folder``.

    Args:
        folder: is made where it is missing.
        size: rows and columns of the pixels.
        mean: of each channel, in units of 0 to 255.
        std: of each channel, in units of 0 to 255.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, gpu in (("cpu", False), ("gpu", True)):
        (folder / f"{name}.dali").write_bytes(pipeline(size, mean, std, gpu=gpu).serialize())
    about = {"size": size, "mean": list(mean), "std": list(std)}
    (folder / "pipeline.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def load(file: Path, *, threads: int, device: int | None) -> Pipeline:
    """A serialised pipeline, ready to run on ``device``, or on the processor for None.

    Raises:
        RuntimeError: the file is damaged, or there is no such device.
    """
    loaded = Pipeline.deserialize(
        filename=str(file),
        batch_size=ROWS,
        num_threads=threads,
        device_id=device,
        # A request waits for its own picture, so nothing is prepared ahead, and the calling thread
        # does not hand over to another: a poster of 200 x 300 takes 1.84 ms so, and 1.91 ms with
        # the dynamic executor. A second thread gains a single picture nothing, so cores are used
        # by several instances.
        prefetch_queue_depth=1,
        exec_pipelined=False,
        exec_async=False,
    )
    loaded.build()
    return loaded
