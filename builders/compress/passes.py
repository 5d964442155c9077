"""From ``kind`` in the settings file to the pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builders.compress.distil import distil
from builders.compress.factorise import factorise
from builders.compress.half_precision import half_precision
from builders.compress.interface import Pass
from builders.compress.prune_channels import prune_channels
from builders.compress.prune_heads import prune_heads
from builders.compress.prune_layers import prune_layers
from builders.compress.quantise_dynamic import quantise_dynamic
from builders.compress.quantise_items import quantise_items
from builders.compress.quantise_static import quantise_static

PASSES: Mapping[str, Pass[Any]] = {
    "prune_heads": prune_heads,
    "prune_channels": prune_channels,
    "prune_layers": prune_layers,
    "factorise": factorise,
    "distil": distil,
    "quantise_static": quantise_static,
    "quantise_dynamic": quantise_dynamic,
    "quantise_items": quantise_items,
    "fp16": half_precision,
}
