"""Pictures that are made here, and an encoder with a network so small that it builds in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from builders.settings import Settings
from builders.visual.backbone import import_timm

SIZE, WIDTH = 64, 12
SMALL = "test_resnet"


def write_weights(file: Path) -> Path:
    """Random ones of the small network."""
    torch.manual_seed(3)
    torch.save(import_timm().create_model(SMALL).state_dict(), file)
    return file


def settings_of(weights: Path, compress: dict[str, Any] | None = None, **visual: Any) -> Settings:
    """Of a build with the small network, and a timing that takes no time."""
    small = {"backbone": SMALL, "weights": str(weights), "size": SIZE, "width": WIDTH}
    return Settings.parse(
        {
            "name": "small",
            "data": {"format": "csv"},
            "visual": {**small, "calibration_pictures": 8, **visual},
            "compress": {"rounds": 10, "batch": 2, **(compress or {})},
        },
        origin="small",
    )


def write_pictures(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """PNGs of smooth random colours."""
    from PIL import Image

    rng, files = np.random.default_rng(seed), list[Path]()
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        files.append(folder / f"{number}.png")
        coarse.resize((SIZE + number, SIZE), Image.Resampling.BILINEAR).save(files[-1])
    return files
