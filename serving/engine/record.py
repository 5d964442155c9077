"""``BUILD.json``: what an engine is, where it fits, and what was found when it ran."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from ensembles.errors import BuildError
from serving.engine.layers import Layers

GRAPH = "model.onnx"
PLAN = "model.plan"
RECORD = "BUILD.json"
NOT_EXECUTED = "engine not executed"


@dataclass(frozen=True)
class EngineBuild:
    """An engine in a folder, as its ``BUILD.json`` describes it.

    Attributes:
        library, version: what built it; nothing else loads it.
        compute_capability: of the GPUs that it is for, as ``8.6``.
        gpu: the GPU that it was built on; empty when it was built ahead of time.
        onnx, plan: ``bytes`` and ``sha256`` of both files.
        profiles: of each optimisation profile, by input, smallest, usual and largest shape.
        layers: number of layers by kind and by type of the first input.
        quantise_nodes: Q and DQ nodes of the parsed network, by their output's type.
        seconds: that the build took.
        executed: what the comparison with ONNX Runtime found, or ``NOT_EXECUTED``.
    """

    library: str
    version: str
    compute_capability: str
    gpu: str
    onnx: dict[str, Any]
    plan: dict[str, Any]
    profiles: list[dict[str, list[list[int]]]]
    layers: Layers
    quantise_nodes: dict[str, int]
    seconds: float
    executed: str | dict[str, Any] = NOT_EXECUTED

    def to_json(self) -> dict[str, Any]:
        """As ``BUILD.json`` holds it."""
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Write ``BUILD.json``, the old one or the new one, never a part."""
        partial = folder / f".{RECORD}.partial"
        text = json.dumps(self.to_json(), indent=1, sort_keys=True)
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(folder / RECORD)

    @classmethod
    def read(cls, folder: Path) -> EngineBuild:
        """Read ``BUILD.json``.

        Raises:
            BuildError: it is missing or damaged.
        """
        try:
            return cls(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as e:
            raise BuildError(f"{folder / RECORD} cannot be read ({e}); build it again") from e


def describe(path: Path) -> dict[str, Any]:
    """``bytes`` and ``sha256`` of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": file_digest(file, "sha256").hexdigest()}


def unfit(folder: Path, graph: Path, here: Mapping[str, str]) -> str:
    """Why the engine in ``folder`` is not the one of ``graph`` for this machine; else empty.

    Args:
        here: ``library``, ``version`` and ``compute_capability`` of this machine.
    """
    if not (folder / RECORD).is_file():
        return "there is none"
    try:
        build = EngineBuild.read(folder)
        files = {graph: build.onnx, folder / PLAN: build.plan}
        altered = [path.name for path, known in files.items() if describe(path) != known]
    except (BuildError, OSError) as e:
        return f"it cannot be read: {e}"
    if altered:
        return f"{altered[0]} is not the one that {RECORD} describes"
    wrong = [
        f"{name.replace('_', ' ')} {getattr(build, name)}, here {value}"
        for name, value in here.items()
        if getattr(build, name) != value
    ]
    return "it was built for " + ", ".join(wrong) if wrong else ""
