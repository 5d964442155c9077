"""What an engine's layers compute in, as the builder's log or the engine inspector tells it.

Both libraries describe a layer in one line, ``Name: ..., LayerType: gemm, Inputs: [ { ...
Datatype: Int8, ... } ], ...``, when the engine is built with detailed profiling. An engine can be
opened on a GPU only; the log can be read anywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

Layers = dict[str, dict[str, int]]
"""Number of layers by kind of layer, as ``gemm``, and by type of its first input."""

_LAYER = re.compile(
    r"^Name: .*?, LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\], (?:Constants|Outputs): "
)
_TYPE = re.compile(
    r"Datatype: [^,}]*?\b(BFloat16|BF16|Half|FP16|Float|FP32|Int8|INT8|FP8|Int32|Int64|Bool)\b"
)
_NAMES = {"BFloat16": "BF16", "Half": "FP16", "Float": "FP32"}


def is_layer(line: str) -> bool:
    """Whether a line of the log describes a layer."""
    return _LAYER.match(line) is not None


def layers_of(lines: Iterable[str]) -> Layers:
    """Count the layers that ``lines`` describe; other lines are passed over."""
    found: dict[str, Counter[str]] = {}
    for line in lines:
        if (layer := _LAYER.match(line)) and (types := _TYPE.search(layer["inputs"])):
            precision = _NAMES.get(types[1], types[1].upper())
            found.setdefault(layer["kind"], Counter())[precision] += 1
    return {kind: dict(sorted(counts.items())) for kind, counts in sorted(found.items())}


def count(layers: Mapping[str, Mapping[str, int]], precision: str) -> int:
    """Layers of all kinds that take their first input in ``precision``."""
    return sum(counts.get(precision, 0) for counts in layers.values())
