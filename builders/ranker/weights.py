"""Weights of a ranker as safetensors, with the items they belong to beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from builders.ranker.compact import conform
from builders.ranker.interface import Ranker
from builders.ranker.registry import build_ranker
from builders.ranker.settings import Ranker as RankerSettings
from ensembles.errors import ReleaseError

WEIGHTS = "ranker.safetensors"
DESCRIPTION = "ranker.json"
UNCOMPRESSED = "uncompressed"
"""Folder in a compressed release with the ranker that compression started from."""


@dataclass(frozen=True)
class SavedRanker:
    """A ranker with what it needs to be read again.

    Attributes:
        ranker: in evaluation mode.
        item_ids: N+1 external ids, the first ``""``.
        history: H, the longest history it was built for.
        settings: the shape that it was trained in; compression may have left less of it.
    """

    ranker: Ranker
    item_ids: list[str]
    history: int
    settings: RankerSettings


def save_ranker(saved: SavedRanker, folder: Path) -> None:
    """Write weights and description into an existing folder."""
    write_weights(saved.ranker, folder / WEIGHTS)
    description = {
        "settings": saved.settings.model_dump(mode="json"),
        "history": saved.history,
        "item_ids": saved.item_ids,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")


def load_ranker(folder: Path) -> SavedRanker:
    """Read what ``save_ranker`` wrote.

    Raises:
        ReleaseError: a file is missing, damaged, or does not belong to the other.
        SettingsError: the ranker's class cannot be imported.
    """
    try:
        raw = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        settings = RankerSettings.model_validate(raw["settings"])
        item_ids, history = list(raw["item_ids"]), int(raw["history"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ReleaseError(
            f"{folder / DESCRIPTION} cannot be read ({e}); build the release again"
        ) from e
    ranker = build_ranker(len(item_ids) - 1, history, settings)
    conform(ranker, tensors(folder / WEIGHTS))
    read_weights(ranker, folder / WEIGHTS)
    return SavedRanker(ranker.eval(), item_ids, history, settings)


def write_weights(ranker: Ranker, path: Path) -> None:
    """Write a ranker's weights, whole or not at all."""
    write_tensors(ranker.state_dict(), path)


def write_tensors(named: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, whole or not at all."""
    partial = path.with_suffix(".partial")
    state = {name: value.detach().cpu().contiguous() for name, value in named.items()}
    save_file(state, str(partial))
    partial.chmod(0o644)  # it is for the owner only, and a container reads as another user
    partial.replace(path)


def read_weights(ranker: Ranker, path: Path) -> None:
    """Read weights into a ranker of the same shape.

    Raises:
        ReleaseError: the file is missing, damaged, or of another shape.
    """
    try:
        ranker.load_state_dict(tensors(path))
    except RuntimeError as e:
        raise ReleaseError(
            f"the weights in {path} do not fit the ranker described beside them: {e}"
        ) from e


def tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file by name.

    Raises:
        ReleaseError: the file is missing or damaged.
    """
    try:
        found: dict[str, torch.Tensor] = load_file(str(path))
    except (OSError, SafetensorError) as e:
        raise ReleaseError(f"{path} cannot be read ({e}); build the release again") from e
    return found
