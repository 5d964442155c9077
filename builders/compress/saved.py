"""A model of the chain on disk: the ranker as safetensors, the graph passes as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter

from builders.compress.interface import Model
from builders.compress.settings import GraphPass
from builders.ranker.weights import load_ranker, save_ranker

_GRAPH_PASSES = "graph_passes.json"
_adapter: TypeAdapter[tuple[GraphPass, ...]] = TypeAdapter(tuple[GraphPass, ...])


def save_model(model: Model, folder: Path) -> None:
    """Write into an existing folder."""
    save_ranker(model.saved, folder)
    (folder / _GRAPH_PASSES).write_bytes(_adapter.dump_json(model.graph_passes))


def load_model(folder: Path) -> Model:
    """Read what ``save_model`` wrote.

    Raises:
        ReleaseError: the ranker is missing or damaged.
    """
    passes = json.loads((folder / _GRAPH_PASSES).read_text(encoding="utf-8"))
    return Model(load_ranker(folder), _adapter.validate_python(passes))
